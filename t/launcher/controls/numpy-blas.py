# title: numpy, with as many threads of BLAS as there are processors
# needs: /usr/lib/python3/dist-packages/numpy
# limits: memory=512m
import numpy as np

rng = np.random.default_rng(1)
a = rng.standard_normal((400, 400))
assert np.allclose(a @ np.linalg.inv(a), np.eye(400), atol=1e-6)
u, s, v = np.linalg.svd(a)
assert np.allclose((u * s) @ v, a)
np.save("/workspace/a.npy", a)
assert (np.load("/workspace/a.npy", mmap_mode="r")[7] == a[7]).all()
assert np.fft.ifft(np.fft.fft(a[0])).real.round(6).tolist() == a[0].round(6).tolist()
print("WORKS")
