"""The two colours of a difference frame, wherever it is shown.

Colour-blind readers too tell this blue from this orange (M. Okabe and K. Ito, "Color Universal Design").
"""

CAME = (86, 180, 233)  # red, green, blue of 1: something is here now
GONE = (230, 159, 0)  # of -1: something was here
