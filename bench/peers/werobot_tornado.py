"""The echo of WeRoBot on tornado, its fastest server; arguments: the port, and "session" for its default session.

The session is WeRoBot's own default: a SQLite file in the current folder.
"""

import json
import os
import sys

import tornado.ioloop
import tornado.web
from werobot import WeRoBot
from werobot.contrib.tornado import make_handler

account = json.loads(os.environ["BENCH_ACCOUNT"])
robot = WeRoBot(token=account["token"], app_id=account["app_id"], encoding_aes_key=account["aes_key"])
if sys.argv[2:] != ["session"]:
    robot.config["SESSION_STORAGE"] = False


@robot.text
def echo(message):
    return message.content


tornado.web.Application([("/wechat", make_handler(robot))]).listen(int(sys.argv[1]), address="127.0.0.1")
tornado.ioloop.IOLoop.current().start()
