"""The account's menu: three buttons, their keys packed intents."""

from __future__ import annotations

from typing import Any

from handlers.intents import Browse, Groups, Help, ListOrders, MyGroups, ShowCart

BUTTONS: list[dict[str, Any]] = [
    {"type": "click", "name": "逛逛", "key": Browse().pack()},
    {
        "name": "拼团",
        "sub_button": [
            {"type": "click", "name": "正在拼", "key": Groups().pack()},
            {"type": "click", "name": "我的团", "key": MyGroups().pack()},
        ],
    },
    {
        "name": "我的",
        "sub_button": [
            {"type": "click", "name": "订单", "key": ListOrders().pack()},
            {"type": "click", "name": "购物车", "key": ShowCart().pack()},
            {"type": "click", "name": "帮助", "key": Help().pack()},
        ],
    },
]
