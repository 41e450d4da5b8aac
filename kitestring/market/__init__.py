"""India and Kite as dated rows: sessions, holidays, charges, freeze quantities, bands and order rules."""
