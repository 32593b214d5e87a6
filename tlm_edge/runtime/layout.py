"""How the members of a committee may lie in a bundle."""

from __future__ import annotations

from typing import Literal, get_args

#: All members in one file; a file a member, all of them asked; a file a member, asked in turn while the vote is open.
Layout = Literal["fused", "apart", "cascade"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
