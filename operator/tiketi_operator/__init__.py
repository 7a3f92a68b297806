"""The operator: turns TicketEvents into sale sheets, children and conditions. No sale waits for it."""
