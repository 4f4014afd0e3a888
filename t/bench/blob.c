/*
 * The artifact store, sealed and plain, in one run: bytes put and got through it, and the same as plain files (hashed and
 * synced as the store does; read by the store's own way for files of before there were keys). Prints medians: of the time
 * that passed, and of the processor's time, which other programs on the machine change less.
 *
 *   blob DIRECTORY MIB ROUNDS
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "executor/store/blob.h"
#include "lib/sbx_time.h"

#define CHUNK 65536
#define MAX_ROUNDS 64

enum what { SEALED_PUT, PLAIN_PUT, SEALED_GET, PLAIN_GET, SEALED_RANGE, PLAIN_RANGE, N_WHAT };

static uv_loop_t loop;
static struct blob_store *store;
static uint8_t key[BLOB_KEY_LEN];
static char chunk[CHUNK], dir[512];
static uint64_t size;
static double rate[N_WHAT][MAX_ROUNDS], cost[N_WHAT][MAX_ROUNDS]; /* MiB a second, CPU ms a GiB */

static void
die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void
on_room(void *arg)
{
    *(bool *)arg = true;
}

static void
on_put(void *arg, int rc, const struct blob_info *info)
{
    if (rc != 0) {
        errno = -rc;
        die("put");
    }
    memcpy(key, info->key, sizeof(key));
    *(bool *)arg = true;
}

static void
sealed_put(void)
{
    struct blob_put *put;
    bool done = false;

    if (blob_put_new(&put, store, "bench", "art_sealed", size) != 0) {
        die("blob_put_new");
    }
    for (uint64_t sent = 0; sent < size; sent += CHUNK) {
        while (blob_put_full(put)) {
            bool room = false;

            blob_put_on_room(put, on_room, &room);
            while (!room) {
                uv_run(&loop, UV_RUN_ONCE);
            }
        }
        if (blob_put_write(put, chunk, CHUNK) != 0) {
            die("blob_put_write");
        }
    }
    blob_put_finish(put, on_put, &done);
    while (!done) {
        uv_run(&loop, UV_RUN_ONCE);
    }
}

static void
plain_path(char out[640])
{
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX];

    if (sbx_sha256("bench", 5, digest) != 0) {
        die("sha256");
    }
    sbx_hex(hex, digest, BLOB_DIR_LEN / 2);
    (void)snprintf(out, 640, "%s/%s/art_plain", dir, hex); /* fits */
}

static void
plain_put(void)
{
    uint8_t digest[SBX_SHA256_LEN];
    struct sbx_sha256 *hash;
    char path[640];
    int fd;

    plain_path(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || sbx_sha256_new(&hash) != 0) {
        die(path);
    }
    for (uint64_t sent = 0; sent < size; sent += CHUNK) {
        if (sbx_sha256_update(hash, chunk, CHUNK) != 0 || write(fd, chunk, CHUNK) != CHUNK) {
            die("write");
        }
    }
    if (sbx_sha256_final(hash, digest) != 0 || fsync(fd) != 0) {
        die("fsync");
    }
    sbx_sha256_free(hash);
    close(fd);
}

struct reading {
    struct blob_get *get;
    uint64_t offset, left;
    size_t step;
    uint64_t jump; /* to the next piece */
    bool done;
};

static void
on_data(void *arg, int rc, const char *data, size_t len)
{
    struct reading *reading = arg;

    (void)data;
    if (rc != 0) {
        errno = -rc;
        die("get");
    }
    reading->left -= len < reading->left ? len : reading->left;
    reading->offset += reading->jump != 0 ? reading->jump : len;
    if (reading->left == 0 || len == 0) {
        reading->done = true;
        return;
    }
    blob_get_read(reading->get, reading->offset % size, reading->step, on_data, reading);
}

static void
on_open(void *arg, int rc, uint64_t told)
{
    struct reading *reading = arg;

    if (rc != 0 || told != size) {
        die("open");
    }
    blob_get_read(reading->get, 0, reading->step, on_data, reading);
}

static void
get(const char *id, const uint8_t *with, uint64_t bytes, size_t step, uint64_t jump)
{
    const struct blob_source source = { .tenant = "bench", .id = id, .key = with };
    struct reading reading = { .left = bytes, .step = step, .jump = jump };

    if (blob_get_new(&reading.get, store, &source, on_open, &reading) != 0) {
        die("blob_get_new");
    }
    while (!reading.done) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    blob_get_close(reading.get);
}

static double
cpu_ms(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        die("getrusage");
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static int
by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void
measure(enum what what, unsigned round)
{
    const uint64_t pieces = 2000;
    uint64_t bytes = size;
    uint64_t from = sbx_now_mono_ms(), took;
    const double cpu = cpu_ms();

    switch (what) {
    case SEALED_PUT:
        sealed_put();
        break;
    case PLAIN_PUT:
        plain_put();
        break;
    case SEALED_GET:
        get("art_sealed", key, bytes, BLOB_CHUNK, 0);
        break;
    case PLAIN_GET:
        get("art_plain", NULL, bytes, BLOB_CHUNK, 0);
        break;
    case SEALED_RANGE:
    case PLAIN_RANGE:
        bytes = pieces * 4096;
        get(what == SEALED_RANGE ? "art_sealed" : "art_plain", what == SEALED_RANGE ? key : NULL, bytes, 4096,
            1000003);
        break;
    case N_WHAT:
        break;
    }
    cost[what][round] = (cpu_ms() - cpu) * 1073741824 / (double)bytes;
    took = sbx_now_mono_ms() - from;
    rate[what][round] = (double)bytes / 1048576 * 1000 / (double)(took == 0 ? 1 : took);
}

static void
drop(const char *id)
{
    if (blob_delete(store, "bench", id, NULL, NULL) != 0) {
        die("blob_delete");
    }
    uv_run(&loop, UV_RUN_DEFAULT);
}

int
main(int argc, char **argv)
{
    static const char *const names[] = { "put", "get", "4 KiB pieces" };
    char error[256];
    unsigned rounds;

    if (argc != 4 || (rounds = (unsigned)strtoul(argv[3], NULL, 10)) == 0 || rounds > MAX_ROUNDS) {
        (void)fprintf(stderr, "usage: blob DIRECTORY MIB ROUNDS\n"); /* nowhere else to say it */
        return EXIT_FAILURE;
    }
    (void)snprintf(dir, sizeof(dir), "%s", argv[1]); /* a cut one does not open */
    size = strtoull(argv[2], NULL, 10) << 20;
    for (size_t i = 0; i < sizeof(chunk); i++) {
        chunk[i] = (char)(i * 131 + i / 251);
    }
    const struct blob_spec spec = { .driver = "file", .root = dir, .loop = &loop };

    if (uv_loop_init(&loop) != 0 || blob_store_open(&store, &spec, error, sizeof(error)) != 0) {
        die("open");
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned what = 0; what < N_WHAT; what++) {
            measure((enum what)what, round);
        }
        drop("art_sealed");
        drop("art_plain");
    }
    for (unsigned i = 0; i < N_WHAT; i++) {
        qsort(rate[i], rounds, sizeof(rate[i][0]), by_value);
        qsort(cost[i], rounds, sizeof(cost[i][0]), by_value);
    }
    for (unsigned i = 0; i < N_WHAT / 2; i++) {
        const double sealed = rate[2 * i][rounds / 2], plain = rate[2 * i + 1][rounds / 2];

        printf("%s: sealed %.0f MiB/s, plain %.0f MiB/s, ratio %.2f; CPU ms a GiB: %.0f, %.0f, ratio %.2f\n",
               names[i], sealed, plain, sealed / plain, cost[2 * i][rounds / 2], cost[2 * i + 1][rounds / 2],
               cost[2 * i][rounds / 2] / cost[2 * i + 1][rounds / 2]);
    }
    store = blob_store_close(store);
    return uv_loop_close(&loop) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
