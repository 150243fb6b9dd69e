"""EC2 that is played: moto, with the corrections that the tests lean on.

Addresses are of this computer's loopback network, a new one at each start. A client token launches once. Faults are asked for
by POST /fake/fault, room for so many instances and no more by POST /fake/room, and GET /fake/state tells what is there, by moto's own objects rather than by its API.
It ends when its standard input does.
"""

import io
import itertools
import json
import os
import sys
import threading
import traceback
from urllib.parse import parse_qs, urlencode

from moto.ec2.models import ec2_backends
from moto.ec2.models import elastic_network_interfaces
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

numbers = itertools.count()
lock = threading.Lock()


def address():
    """The next one; processes beside this one hand out others."""
    with lock:
        number = next(numbers)
    return f"127.{16 + os.getpid() % 200}.{os.getpid() // 200 % 250}.{number % 250 + 1}"


elastic_network_interfaces.random_public_ip = address

faults = []
room = {}
launched = {}
calls = []


def text(data):
    """Bytes, or what moto has in their place, as text."""
    return data if data is None or isinstance(data, str) else data.decode()


def tags_of(thing):
    return {tag["key"]: tag["value"] for tag in thing.get_tags()}


def state(region):
    found = {"instances": [], "groups": [], "keys": [], "volumes": []}
    for account in list(ec2_backends.keys()):
        backend = ec2_backends[account][region]
        for reservation in backend.reservations.values():
            for instance in reservation.instances:
                found["instances"].append({
                    "id": instance.id,
                    "state": instance._state.name,
                    "public": instance.public_ip,
                    "user_data": text(instance.user_data),
                    "key_name": instance.key_name,
                    "image": instance.image_id,
                    "type": instance.instance_type,
                    "tokens": instance.metadata_options.http_tokens,
                    "shutdown": instance.instance_initiated_shutdown_behavior,
                    "tags": tags_of(instance),
                })
        for groups in backend.groups.values():
            for group in groups.values():
                if group.name != "default":
                    rules = [
                        [rule.ip_protocol, int(rule.from_port), int(rule.to_port), rule.ip_range.get("CidrIp") or rule.ip_range.get("CidrIpv6")]
                        for rule in group.ingress_rules
                    ]
                    found["groups"].append({"id": group.id, "name": group.name, "rules": rules, "tags": tags_of(group)})
        for key in backend.key_pairs.values():
            found["keys"].append({"name": key.key_name, "material": text(key.material_public), "tags": tags_of(key)})
        for volume in backend.volumes.values():
            found["volumes"].append(
                {"id": volume.id, "encrypted": volume.encrypted, "size": volume.size, "type": volume.volume_type, "tags": tags_of(volume)}
            )
    found["calls"] = [action for (where, action) in calls if where == region]
    return found


def fault_for(region, action, dry):
    with lock:
        for fault in faults:
            meant = (fault["region"], fault["action"], fault.get("dry", False)) == (region, action, dry)
            if meant and fault["count"] > 0:
                fault["count"] -= 1
                return fault
    return None


def error(fault):
    text = (
        "<?xml version='1.0' encoding='UTF-8'?><Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        "<RequestID>1</RequestID></Response>"
    )
    return text.format(code=fault["code"], message=fault.get("message", "played")).encode()


def as_many_as_there_is_room_for(region, form, environ):
    """moto launches MinCount; EC2 as many of MaxCount as it has room for, and none where that are fewer than MinCount."""
    wanted, least = (int(form.get(name, ["1"])[0]) for name in ("MaxCount", "MinCount"))
    with lock:
        count = min(wanted, room.get(region, wanted))
        if count < least:
            return {"code": "InsufficientInstanceCapacity", "status": 500}
        if region in room:
            room[region] -= count
    body = urlencode({**{name: values[0] for name, values in form.items()}, "MinCount": count}).encode()
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    return None


def call(app, environ):
    """The status, headers and body that moto answers."""
    kept = {}

    def start(status, headers, exc_info=None):
        kept["status"], kept["headers"] = status, headers

    body = b"".join(app(environ, start))
    return kept["status"], kept["headers"], body


def middleware(app):
    def answer(environ, start_response):
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size)
        environ["wsgi.input"] = io.BytesIO(body)
        path = environ.get("PATH_INFO", "")
        if path.startswith("/fake/"):
            if path == "/fake/fault":
                with lock:
                    faults.append(json.loads(body))
                told = b"{}"
            elif path == "/fake/room":
                asked = json.loads(body)
                with lock:
                    room[asked["region"]] = asked["count"]
                told = b"{}"
            else:
                try:
                    told = json.dumps(state(path.rsplit("/", 1)[1])).encode()
                except Exception:
                    told = traceback.format_exc().encode()
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(told)))])
            return [told]
        form = parse_qs(body.decode("utf-8", "replace"))
        action = form.get("Action", [""])[0]
        scope = environ.get("HTTP_AUTHORIZATION", "").split("Credential=")[-1].split("/")
        region = scope[2] if len(scope) > 2 else ""
        dry = form.get("DryRun", [""])[0] == "true"
        calls.append((region, action))
        fault = fault_for(region, action, dry)
        if fault and not fault.get("after"):
            told = error(fault)
            start_response(f"{fault['status']} Played", [("Content-Type", "text/xml"), ("Content-Length", str(len(told)))])
            return [told]
        token = form.get("ClientToken", [None])[0]
        if action == "RunInstances" and not dry and token in launched:
            status, headers, told = launched[token]
        else:
            if action == "RunInstances" and not dry:
                refusal = as_many_as_there_is_room_for(region, form, environ)
                if refusal:
                    told = error(refusal)
                    start_response("500 Played", [("Content-Type", "text/xml"), ("Content-Length", str(len(told)))])
                    return [told]
            status, headers, told = call(app, environ)
            if action == "RunInstances" and not dry and status.startswith("200"):
                launched[token] = (status, headers, told)
        if fault:
            told = error(fault)
            status, headers = f"{fault['status']} Played", [("Content-Type", "text/xml"), ("Content-Length", str(len(told)))]
        start_response(status, headers)
        return [told]

    return answer


def main():
    app = middleware(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


main()
