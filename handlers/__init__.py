"""What the shop does when asked: pure steps, an Intent in, a Reply out."""

# The features, in the order in which their reactions run. Names, so that the app loads them at start
# and one feature never imports another.
FEATURES = (
    "follow",
    "help",
    "everyday",
    "costs",
    "manners",
    "catalog",
    "cart",
    "address",
    "checkout",
    "paying",
    "payment",
    "orders",
    "second",
    "supplement",
    "fulfilment",
    "again",
    "groupbuy",
    "invite",
    "subscribe",
    "admin.staff",
    "admin.products",
    "admin.orders",
    "admin.hand",
    "admin.promise",
    "admin.prices",
    "admin.plays",
    "admin.pushes",
    "admin.alarms",
)
