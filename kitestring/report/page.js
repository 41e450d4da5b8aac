"use strict";
// Reads a chart's value out under the pointer, the finger or the arrow keys. Without it the page is whole.
for (const chart of document.querySelectorAll(".chart[data-values]")) {
  const kept = chart.dataset;
  const values = JSON.parse(kept.values), marks = JSON.parse(kept.marks);
  const plot = chart.querySelector(".plot");
  const minutes = Number(kept.minutes), low = Number(kept.low), high = Number(kept.high);
  const readout = document.createElement("output");
  readout.className = "readout";
  chart.parentElement.insertBefore(readout, chart);
  if (!values.length) continue;

  const rupees = (units) => {
    const sign = units < 0 ? "−" : kept.signed && units > 0 ? "+" : "";
    const words = (Math.abs(units) / 10000).toLocaleString("en-IN", {
      minimumFractionDigits: 2, maximumFractionDigits: 2,
    });
    return sign + "₹" + words;
  };
  const clock = (minute) => {
    if (kept.days) return kept.days.split("|")[minute] ?? "";
    const at = (Number(kept.start) + minute) % 1440;
    return String(Math.floor(at / 60)).padStart(2, "0") + ":" + String(at % 60).padStart(2, "0");
  };

  const hair = document.createElement("div"), dot = document.createElement("div");
  hair.className = "hair";
  dot.className = "dot";
  hair.append(dot);
  hair.hidden = true;
  plot.append(hair);

  let shown = values.length - 1;
  const show = (index, mark) => {
    shown = index;
    const [minute, value] = values[index];
    const words = document.createElement("b");
    words.textContent = rupees(value);
    readout.replaceChildren(clock(minute), words);
    if (mark) {
      const said = document.createElement("i");
      said.textContent = "· " + mark[2];
      readout.append(said);
    }
    hair.style.left = (100 * minute) / minutes + "%";
    dot.style.top = (100 * (high - value)) / (high - low) + "%";
  };
  const follow = (event) => {
    const box = plot.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const minute = (x / box.width) * minutes;
    let first = 0, last = values.length - 1;
    while (first < last) {
      const middle = (first + last) >> 1;
      if (values[middle][0] < minute) first = middle + 1; else last = middle;
    }
    if (first > 0 && minute - values[first - 1][0] < values[first][0] - minute) first -= 1;
    let nearest = null, within = 16;
    for (const mark of marks) {
      const away = Math.hypot(
        (mark[0] / minutes) * box.width - x, ((high - mark[1]) / (high - low)) * box.height - y,
      );
      if (away < within) [nearest, within] = [mark, away];
    }
    hair.hidden = false;
    show(first, nearest);
  };
  const rest = () => { hair.hidden = true; show(values.length - 1, null); };
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointerleave", rest);
  chart.addEventListener("blur", rest);
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    hair.hidden = false;
    show(Math.min(values.length - 1, Math.max(0, shown + step)), null);
  });
  rest();
}
