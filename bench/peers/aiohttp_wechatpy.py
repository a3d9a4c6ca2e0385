"""The echo of wechatpy on aiohttp; argument: the port."""

import json
import os
import sys

from aiohttp import web
from wechatpy import create_reply, parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException, InvalidSignatureException
from wechatpy.utils import check_signature

account = json.loads(os.environ["BENCH_ACCOUNT"])
crypto = WeChatCrypto(account["token"], account["aes_key"], account["app_id"])


async def wechat(request: web.Request) -> web.Response:
    query = request.query
    nonce, timestamp = query.get("nonce", ""), query.get("timestamp", "")
    try:
        check_signature(account["token"], query.get("signature", ""), timestamp, nonce)
        if request.method == "GET":
            return web.Response(text=query.get("echostr", ""))
        body = await request.read()
        message = parse_message(crypto.decrypt_message(body, query.get("msg_signature", ""), timestamp, nonce))
    except (InvalidSignatureException, InvalidAppIdException):
        return web.Response(status=403)
    reply = create_reply(message.content, message)
    sealed = crypto.encrypt_message(reply.render(), nonce, timestamp)
    return web.Response(text=sealed, content_type="text/xml")


app = web.Application()
app.router.add_get("/wechat", wechat)
app.router.add_post("/wechat", wechat)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
