"""What people read: tables and figures made from records. No torch here."""
