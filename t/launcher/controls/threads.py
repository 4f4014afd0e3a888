# title: threads, locks, queues and thread pools
import concurrent.futures
import queue
import threading

q, total, lock = queue.Queue(), [0], threading.Lock()
def work():
    while (n := q.get()) is not None:
        with lock:
            total[0] += n
threads = [threading.Thread(target=work) for _ in range(16)]
[t.start() for t in threads]
[q.put(i) for i in range(1000)]
[q.put(None) for _ in threads]
[t.join(10) for t in threads]
assert total[0] == 499500
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert sum(pool.map(lambda n: n * n, range(100))) == 328350
print("WORKS")
