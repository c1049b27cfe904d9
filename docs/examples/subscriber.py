"""Keeps every prediction exactly once, and says so: python subscriber.py HOST PORT SITE NODE DATABASE."""

import json
import sqlite3
import sys

import paho.mqtt.client as mqtt

host, port, site, node, path = sys.argv[1:]
prefix = f"edgeopt/{site}/{node}"
database = sqlite3.connect(path)
database.executescript("""
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS prediction (device, pipeline, stream, boot, seq, payload,
        PRIMARY KEY (device, pipeline, stream, boot, seq));
    CREATE TABLE IF NOT EXISTS gap (device, pipeline, stream, boot, first, last, reason,
        PRIMARY KEY (device, pipeline, stream, boot, first));
    CREATE TABLE IF NOT EXISTS reached (device, pipeline, stream, boot, seq,
        PRIMARY KEY (device, pipeline, stream, boot));
""")
ADD_GAP = "INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET last = max(last, excluded.last)"
REACHED = "SELECT seq FROM reached WHERE (device, pipeline, stream, boot) = (?, ?, ?, ?)"
HAVE = "SELECT 1 FROM prediction WHERE (device, pipeline, stream, boot, seq) = (?, ?, ?, ?, ?)"
GAP = "SELECT last FROM gap WHERE (device, pipeline, stream, boot) = (?, ?, ?, ?) AND ? BETWEEN first AND last"
ADD = "INSERT OR IGNORE INTO prediction VALUES (?, ?, ?, ?, ?, ?)"


def follow(key):
    """Return the sequence number up to which nothing of a stream is missing, and remember it."""
    reached = (database.execute(REACHED, key).fetchone() or (0,))[0]
    while True:
        following = (*key, reached + 1)
        if database.execute(HAVE, following).fetchone():
            reached += 1
        elif gap := database.execute(GAP, following).fetchone():
            reached = gap[0]
        else:
            break
    database.execute("INSERT OR REPLACE INTO reached VALUES (?, ?, ?, ?, ?)", (*key, reached))
    return reached


def on_message(client, _, message):
    """Store what came, commit, and only then acknowledge."""
    said = json.loads(message.payload)
    keys = set()
    for gap in said.get("gaps", []):  # what the daemon had to give up
        key = (node, gap["pipeline"], gap["stream"], gap["boot"])
        database.execute(ADD_GAP, (*key, gap["first"], gap["last"], gap["reason"]))
        keys.add(key)
    if "seq" in said:
        key = (node, said["pipeline"], said["stream"], said["boot"])
        database.execute(ADD, (*key, said["seq"], message.payload))
        if said.get("after", said["seq"]) + 1 < said["seq"]:  # sent late: nothing between these two will come any more
            database.execute(ADD_GAP, (*key, said["after"] + 1, said["seq"] - 1, "settled"))
        keys.add(key)
    acks = [{"pipeline": key[1], "stream": key[2], "boot": key[3], "seq": follow(key)} for key in keys if key[2]]
    database.commit()
    client.publish(f"{prefix}/ack", json.dumps({"acks": acks}), qos=1)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"subscriber-{site}-{node}", clean_session=False)
client.on_connect = lambda client, *_: client.subscribe([(f"{prefix}/pred/#", 1), (f"{prefix}/gap", 1)])
client.on_message = on_message
client.connect(host, int(port))
client.loop_forever(retry_first_connection=True)
