"""What every process of Tiketi stands on. A library: it never listens by itself and knows no buyer rule."""
