/* What a sealed blob withstands: whoever holds the files but no key can change nothing that is not noticed. */
#include <sys/stat.h>

#include "executor/store/blob.h"
#include "executor/store/blob_seal.h"
#include "t/unit/store_fixture.h"

#define FRAMES 4
#define SIZE (3u * BLOB_FRAME + 1000u)

static struct fixture f;
static struct blob_store *store;
static char root[192];
static char data[SIZE];

struct sealed {
    const char *tenant, *id;
    uint8_t key[BLOB_KEY_LEN];
    char path[400];
    char *file; /* as it was written */
    size_t len;
};

struct reading {
    int n, rc;
    uint64_t size, offset;
    struct blob_get *get;
    size_t max;
    bool once;
    struct sbx_buf data;
};

static void
on_put(void *arg, int rc, const struct blob_info *info)
{
    struct sealed *sealed = arg;

    if (rc != 0) {
        BAIL_OUT("put: %d", rc);
    }
    memcpy(sealed->key, info->key, BLOB_KEY_LEN);
}

static char *
slurp(const char *path, size_t *ret_len)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *text;

    if (fd < 0 || fstat(fd, &st) < 0 || (text = malloc((size_t)st.st_size + 1)) == NULL ||
        read(fd, text, (size_t)st.st_size) != st.st_size) {
        BAIL_OUT("%s", path);
    }
    close(fd);
    *ret_len = (size_t)st.st_size;
    return text;
}

static void
spew(const char *path, const void *bytes, size_t len)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len) {
        BAIL_OUT("%s", path);
    }
    close(fd);
}

static void
seal(struct sealed *sealed, const char *tenant, const char *id, size_t len)
{
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX];
    struct blob_put *put;

    *sealed = (struct sealed){ .tenant = tenant, .id = id };
    if (blob_put_new(&put, store, tenant, id, len) != 0 || blob_put_write(put, data, len) != 0 ||
        sbx_sha256(tenant, strlen(tenant), digest) != 0) {
        BAIL_OUT("put");
    }
    blob_put_finish(put, on_put, sealed);
    fixture_settle(&f);
    sbx_hex(hex, digest, 16);
    snprintf(sealed->path, sizeof(sealed->path), "%s/%s/%s", root, hex, id);
    sealed->file = slurp(sealed->path, &sealed->len);
}

static void
on_data(void *arg, int rc, const char *bytes, size_t len)
{
    struct reading *got = arg;

    if (rc == 0 && len > 0) {
        sbx_buf_append(&got->data, bytes, len);
        got->offset += len;
    }
    if (rc != 0 || len == 0 || got->once) {
        got->n++;
        got->rc = rc;
        got->get = blob_get_close(got->get);
        return;
    }
    blob_get_read(got->get, got->offset, got->max, on_data, got);
}

static void
on_open(void *arg, int rc, uint64_t size)
{
    struct reading *got = arg;

    got->size = size;
    if (rc != 0) {
        got->n++;
        got->rc = rc;
        got->get = NULL;
        return;
    }
    blob_get_read(got->get, got->offset, got->max, on_data, got);
}

static int
read_as(const char *tenant, const char *id, const uint8_t *key, struct reading *got)
{
    const struct blob_source source = { .tenant = tenant, .id = id, .key = key };

    got->data = (struct sbx_buf)SBX_BUF_INIT(SIZE + 1);
    if (blob_get_new(&got->get, store, &source, on_open, got) != 0) {
        BAIL_OUT("get");
    }
    fixture_settle(&f);
    if (got->n != 1) {
        BAIL_OUT("a get did not end");
    }
    return got->rc;
}

static int
read_all(const struct sealed *sealed)
{
    struct reading got = { .max = BLOB_CHUNK };
    int r = read_as(sealed->tenant, sealed->id, sealed->key, &got);

    if (r == 0 &&
        (got.data.len != got.size || (got.data.len > 0 && memcmp(got.data.data, data, got.data.len) != 0))) {
        r = -ENOTRECOVERABLE; /* the worst: other bytes, and nobody noticed */
    }
    sbx_buf_deinit(&got.data);
    return r;
}

static void
test_sizes(void)
{
    static const size_t sizes[] = {
        0, 1, BLOB_FRAME - 1, BLOB_FRAME, BLOB_FRAME + 1, 2 * BLOB_FRAME, 2 * BLOB_FRAME + 1, 3 * BLOB_FRAME
    };
    struct blob_layout layout;
    struct sealed sealed;
    char id[32];

    for (size_t i = 0; i < SBX_COUNT(sizes); i++) {
        snprintf(id, sizeof(id), "art_size%zu", i);
        seal(&sealed, "acme", id, sizes[i]);
        is_int(read_all(&sealed), 0, "%zu bytes", sizes[i]);
        ok(blob_layout_of(&layout, sealed.len) && layout.size == sizes[i], "in a file of %zu", sealed.len);
        free(sealed.file);
    }
    for (uint64_t n = 0; n < BLOB_HEAD_LEN + SBX_GCM_TAG_LEN; n++) {
        if (blob_layout_of(&layout, n)) {
            fail("a file of %" PRIu64 " bytes", n);
        }
    }
    for (uint64_t n = 0; n <= SBX_GCM_TAG_LEN; n++) {
        if (blob_layout_of(&layout, BLOB_HEAD_LEN + BLOB_FRAME_SEALED + n) != (n == 0)) {
            fail("a second frame of %" PRIu64 " bytes", n);
        }
    }
    ok(!blob_layout_of(&layout, UINT64_MAX), "no file is that large");
}

static void
test_ranges(const struct sealed *sealed)
{
    static const uint64_t places[] = {
        0,        1,    BLOB_FRAME - 1, BLOB_FRAME, BLOB_FRAME + 1, 3 * BLOB_FRAME - 1, 3 * BLOB_FRAME,
        SIZE - 1, SIZE, SIZE + 1,       UINT64_MAX
    };
    static const size_t lengths[] = { 1, 2, 1000, BLOB_FRAME, BLOB_FRAME + 1, BLOB_CHUNK };
    unsigned wrong = 0;

    for (size_t i = 0; i < SBX_COUNT(places); i++) {
        for (size_t j = 0; j < SBX_COUNT(lengths); j++) {
            struct reading got = { .offset = places[i], .max = lengths[j], .once = true };
            const uint64_t from = places[i] > SIZE ? SIZE : places[i];

            wrong += read_as(sealed->tenant, sealed->id, sealed->key, &got) != 0 ||
                     got.data.len > lengths[j] || (got.data.len == 0) != (from == SIZE) ||
                     (got.data.len > 0 && memcmp(got.data.data, data + from, got.data.len) != 0);
            sbx_buf_deinit(&got.data);
        }
    }
    is_uint(wrong, 0, "pieces from everywhere, of every length");
}

/* A piece of one frame is had although another one is damaged: nothing but its frames, and the last, was read. */
static void
test_only_needed(const struct sealed *sealed)
{
    struct reading got = { .offset = BLOB_FRAME + 5, .max = 100, .once = true };
    struct reading bad = { .offset = 5, .max = 100, .once = true };
    char *file = malloc(sealed->len);

    memcpy(file, sealed->file, sealed->len);
    file[BLOB_HEAD_LEN + 77] ^= 1;
    spew(sealed->path, file, sealed->len);
    is_int(read_as(sealed->tenant, sealed->id, sealed->key, &got), 0,
           "a range opens the frames it lies in only");
    is_int(read_as(sealed->tenant, sealed->id, sealed->key, &bad), -EBADMSG,
           "and one in a damaged frame is refused");
    is_uint(bad.data.len, 0, "without a byte of it");
    sbx_buf_deinit(&got.data);
    sbx_buf_deinit(&bad.data);
    spew(sealed->path, sealed->file, sealed->len);
    free(file);
}

static void
test_bytes(const struct sealed *sealed)
{
    unsigned passed = 0, tried = 0;
    const int fd = open(sealed->path, O_RDWR | O_CLOEXEC);

    /* Every byte near the seams, every 997th of the rest. */
    for (size_t at = 0; at < sealed->len; at++) {
        const size_t in = at < BLOB_HEAD_LEN ? 0 : (at - BLOB_HEAD_LEN) % BLOB_FRAME_SEALED;
        const char changed = (char)(sealed->file[at] ^ (1 << (at % 8)));

        if (at % 997 != 0 && in > 24 && in < BLOB_FRAME_SEALED - 24 && at + 24 < sealed->len) {
            continue;
        }
        if (pwrite(fd, &changed, 1, (off_t)at) != 1) {
            BAIL_OUT("pwrite");
        }
        tried++;
        passed += read_all(sealed) != -EBADMSG;
        if (pwrite(fd, sealed->file + at, 1, (off_t)at) != 1) {
            BAIL_OUT("pwrite");
        }
    }
    close(fd);
    is_uint(passed, 0, "a bit changed in any of %u places is noticed", tried);
    is_int(read_all(sealed), 0, "and none changed is not");
}

static void
test_frames(const struct sealed *sealed, const struct sealed *other)
{
    char *file = malloc(2 * sealed->len);
    unsigned passed = 0;

    for (unsigned a = 0; a < FRAMES - 1; a++) {
        for (unsigned b = 0; b < FRAMES - 1; b++) {
            memcpy(file, sealed->file, sealed->len);
            memcpy(file + blob_frame_at(a), sealed->file + blob_frame_at(b), BLOB_FRAME_SEALED);
            memcpy(file + blob_frame_at(b), sealed->file + blob_frame_at(a), BLOB_FRAME_SEALED);
            spew(sealed->path, file, sealed->len);
            passed += a != b && read_all(sealed) == 0;
        }
        memcpy(file, sealed->file, sealed->len);
        memcpy(file + blob_frame_at(a), other->file + blob_frame_at(a), BLOB_FRAME_SEALED);
        spew(sealed->path, file, sealed->len);
        passed += read_all(sealed) == 0;
        memcpy(file, sealed->file, sealed->len);
        memmove(file + blob_frame_at(a), file + blob_frame_at(a + 1), sealed->len - blob_frame_at(a + 1));
        spew(sealed->path, file, sealed->len - BLOB_FRAME_SEALED);
        passed += read_all(sealed) == 0;
        memcpy(file, sealed->file, sealed->len);
        memmove(file + blob_frame_at(a + 1), sealed->file + blob_frame_at(a), sealed->len - blob_frame_at(a));
        spew(sealed->path, file, sealed->len + BLOB_FRAME_SEALED);
        passed += read_all(sealed) == 0;
    }
    is_uint(passed, 0, "frames exchanged, doubled, left out, or another blob's");

    passed = 0;
    for (unsigned i = 0; i <= FRAMES; i++) {
        static const int around[] = { -17, -16, -1, 0, 1, 16, 17 };

        for (size_t j = 0; j < SBX_COUNT(around); j++) {
            const int64_t cut = (int64_t)blob_frame_at(i) + around[j];

            if (cut < 0 || cut >= (int64_t)sealed->len) {
                continue;
            }
            spew(sealed->path, sealed->file, (size_t)cut);
            passed += read_all(sealed) == 0;
        }
    }
    memcpy(file, sealed->file, sealed->len);
    memset(file + sealed->len, 0, sealed->len);
    spew(sealed->path, file, sealed->len + 1);
    passed += read_all(sealed) == 0;
    spew(sealed->path, file, 2 * sealed->len);
    passed += read_all(sealed) == 0;
    is_uint(passed, 0, "files cut at every seam, or grown");
    spew(sealed->path, sealed->file, sealed->len);
    is_int(read_all(sealed), 0, "whole again");
    free(file);
}

static void
test_places(const struct sealed *sealed, const struct sealed *other, const struct sealed *foreign)
{
    static const uint8_t zero[BLOB_KEY_LEN];
    struct reading got;
    uint8_t key[BLOB_KEY_LEN];

    memset(&got, 0, sizeof(got));
    is_int(read_as(sealed->tenant, sealed->id, other->key, &got), -EBADMSG, "another blob's key");
    memset(&got, 0, sizeof(got));
    is_int(read_as(sealed->tenant, sealed->id, zero, &got), -EBADMSG, "no key");
    memcpy(key, sealed->key, sizeof(key));
    key[31] ^= 1;
    memset(&got, 0, sizeof(got));
    is_int(read_as(sealed->tenant, sealed->id, key, &got), -EBADMSG, "nearly the key");

    spew(other->path, sealed->file, sealed->len);
    memset(&got, 0, sizeof(got));
    is_int(read_as(other->tenant, other->id, sealed->key, &got), -EBADMSG, "with its key under another id");
    spew(foreign->path, sealed->file, sealed->len);
    memset(&got, 0, sizeof(got));
    is_int(read_as(foreign->tenant, foreign->id, sealed->key, &got), -EBADMSG,
           "or under the same id of another tenant");
    spew(other->path, other->file, other->len);
    is_int(read_all(other), 0, "that one's own is fine");
    ok(memcmp(sealed->key, other->key, BLOB_KEY_LEN) != 0, "each has a key of its own");
    ok(memcmp(sealed->file + BLOB_HEAD_LEN, other->file + BLOB_HEAD_LEN, 64) != 0,
       "the same bytes look different in each");
    ok(memmem(sealed->file, sealed->len, data, 16) == NULL &&
           memmem(sealed->file, sealed->len, data + SIZE - 16, 16) == NULL,
       "nothing of what was put is in the file");
}

int
main(void)
{
    struct sealed sealed, other, foreign;
    char error[256];

    fixture_init(&f);
    snprintf(root, sizeof(root), "%.150s/blobs", f.dir);
    const struct blob_spec spec = { .driver = "file", .root = root, .loop = &f.loop };

    if (blob_store_open(&store, &spec, error, sizeof(error)) != 0) {
        BAIL_OUT("%s", error);
    }
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = (char)(i * 131 + i / 241 + 1);
    }
    test_sizes();
    seal(&sealed, "acme", "art_one", SIZE);
    seal(&other, "acme", "art_two", SIZE);
    seal(&foreign, "umbrella", "art_one", SIZE);
    test_ranges(&sealed);
    test_only_needed(&sealed);
    test_bytes(&sealed);
    test_frames(&sealed, &other);
    test_places(&sealed, &other, &foreign);
    free(sealed.file);
    free(other.file);
    free(foreign.file);
    store = blob_store_close(store);
    fixture_deinit(&f);
    return done_testing();
}
