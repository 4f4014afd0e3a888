# title: a decompression bomb: half a gigabyte out of half a megabyte
# wall: memory
# gvisor: memory
# limits: memory=96m
# expect: limit memory held
import zlib
from attack import escaped, held

packer = zlib.compressobj(9)
bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for i in range(256)) + packer.flush()
try:
    escaped("%d MiB unpacked" % (len(zlib.decompress(bomb)) >> 20))
except MemoryError:
    held("MemoryError")
