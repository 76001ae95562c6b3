"""Text while somebody speaks: what a realtime session decides, without its wire.

It knows neither Flask nor torch.
"""
