# title: clocks, timers, time zones, randomness
import datetime
import secrets
import signal
import time
import uuid
import zoneinfo

assert abs(time.time() - datetime.datetime.now(datetime.timezone.utc).timestamp()) < 1
before = time.monotonic()
time.sleep(0.05)
assert 0.04 < time.monotonic() - before < 5
assert datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo")).utcoffset().seconds == 9 * 3600
rang = []
signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.pause()
assert rang and len(secrets.token_bytes(64)) == 64 and uuid.uuid4() != uuid.uuid4()
assert time.process_time() < 30 and time.clock_getres(time.CLOCK_BOOTTIME) < 1
print("WORKS")
