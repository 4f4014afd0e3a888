# title: multiprocessing: pools by fork, spawn and forkserver, shared memory, managers, named semaphores
import multiprocessing as mp
from multiprocessing import shared_memory

if __name__ == "__main__":
    with mp.get_context("fork").Pool(3) as pool:
        assert sum(pool.map(abs, range(-50, 50))) == 2500
    with mp.get_context("spawn").Pool(2) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]
    shared = shared_memory.SharedMemory(create=True, size=4096)
    shared.buf[:4] = b"data"
    other = shared_memory.SharedMemory(shared.name)
    assert bytes(other.buf[:4]) == b"data"
    other.close()
    shared.close()
    shared.unlink()
    value = mp.Value("i", 0)
    def add():
        for _ in range(100):
            with value.get_lock():
                value.value += 1
    children = [mp.get_context("fork").Process(target=add) for _ in range(3)]
    [c.start() for c in children]
    [c.join(10) for c in children]
    assert value.value == 300
    print("WORKS")
