"""GemNet: every bidder chooses from a menu that depends on what the others report, and all menus together never give an item twice."""
