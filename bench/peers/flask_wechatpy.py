"""The echo of wechatpy on Flask, as wechatpy's own example has it; gunicorn serves `app`."""

import json
import os

from flask import Flask, abort, request
from wechatpy import create_reply, parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException, InvalidSignatureException
from wechatpy.utils import check_signature

account = json.loads(os.environ["BENCH_ACCOUNT"])
app = Flask(__name__)


@app.route("/wechat", methods=["GET", "POST"])
def wechat():
    signature = request.args.get("signature", "")
    timestamp = request.args.get("timestamp", "")
    nonce = request.args.get("nonce", "")
    msg_signature = request.args.get("msg_signature", "")
    try:
        check_signature(account["token"], signature, timestamp, nonce)
    except InvalidSignatureException:
        abort(403)
    if request.method == "GET":
        return request.args.get("echostr", "")
    crypto = WeChatCrypto(account["token"], account["aes_key"], account["app_id"])
    try:
        opened = crypto.decrypt_message(request.data, msg_signature, timestamp, nonce)
    except (InvalidSignatureException, InvalidAppIdException):
        abort(403)
    message = parse_message(opened)
    reply = create_reply(message.content, message)
    return crypto.encrypt_message(reply.render(), nonce, timestamp)
