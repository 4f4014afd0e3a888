/* Artifacts in files: streaming, ceilings, aborts, crashes, and names that must not become paths. */
#include <dirent.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "executor/store/blob.h"
#include "t/unit/store_fixture.h"

static struct fixture f;
static struct blob_store *store;
static char root[192];

struct blob_outcome {
    int n, rc;
    struct blob_info info;
    uint64_t size, offset;
    struct blob_get *get;
    struct sbx_buf data;
    unsigned n_reads;
    size_t max;
};

static void
blob_on_put(void *arg, int rc, const struct blob_info *info)
{
    struct blob_outcome *got = arg;

    got->n++;
    got->rc = rc;
    got->info = *info;
}

static void
blob_on_done(void *arg, int rc)
{
    struct blob_outcome *got = arg;

    got->n++;
    got->rc = rc;
}

static void
blob_on_data(void *arg, int rc, const char *data, size_t len)
{
    struct blob_outcome *got = arg;

    got->n_reads++;
    if (rc != 0 || len == 0) {
        got->n++;
        got->rc = rc;
        got->get = blob_get_close(got->get);
        return;
    }
    sbx_buf_append(&got->data, data, len);
    got->offset += len;
    blob_get_read(got->get, got->offset, got->max, blob_on_data, got);
}

static void
blob_on_open(void *arg, int rc, uint64_t size)
{
    struct blob_outcome *got = arg;

    got->size = size;
    if (rc != 0) {
        got->n++;
        got->rc = rc;
        got->get = NULL;
        return;
    }
    blob_get_read(got->get, got->offset, got->max, blob_on_data, got);
}

/* The store keeps none: what executord's database does. */
static struct {
    char name[160];
    uint8_t key[BLOB_KEY_LEN];
} keys[64];
static unsigned n_keys;

static void
key_keep(const char *tenant, const char *id, const uint8_t key[BLOB_KEY_LEN])
{
    if (n_keys == SBX_COUNT(keys)) {
        BAIL_OUT("too many keys");
    }
    snprintf(keys[n_keys].name, sizeof(keys[n_keys].name), "%s/%s", tenant, id);
    memcpy(keys[n_keys++].key, key, BLOB_KEY_LEN);
}

static struct blob_source
source(const char *tenant, const char *id)
{
    static const uint8_t wrong[BLOB_KEY_LEN];
    struct blob_source found = { .tenant = tenant, .id = id, .key = wrong };
    char name[160];

    snprintf(name, sizeof(name), "%s/%s", tenant, id);
    for (unsigned i = 0; i < n_keys; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            found.key = keys[i].key;
        }
    }
    return found;
}

static int
store_open(char *error, size_t size)
{
    const struct blob_spec spec = { .driver = "file", .root = root, .loop = &f.loop };

    return blob_store_open(&store, &spec, error, size);
}

static int
put(const char *tenant, const char *id, const void *data, size_t len, size_t step, uint64_t max,
    struct blob_outcome *got)
{
    struct blob_put *blob;
    int r;

    memset(got, 0, sizeof(*got));
    r = blob_put_new(&blob, store, tenant, id, max);
    if (r) {
        return r;
    }
    for (size_t done = 0; done < len && r == 0; done += step) {
        r = blob_put_write(blob, (const char *)data + done, len - done < step ? len - done : step);
    }
    if (r) {
        blob_put_abort(blob);
        fixture_settle(&f);
        return r;
    }
    blob_put_finish(blob, blob_on_put, got);
    if (got->n != 0) {
        BAIL_OUT("a callback from inside the call");
    }
    fixture_settle(&f);
    if (got->n != 1) {
        BAIL_OUT("%d callbacks instead of one", got->n);
    }
    if (got->rc == 0) {
        key_keep(tenant, id, got->info.key);
    }
    return got->rc;
}

static int
get(const char *tenant, const char *id, uint64_t offset, size_t max, struct blob_outcome *got)
{
    const struct blob_source from = source(tenant, id);
    int r;

    memset(got, 0, sizeof(*got));
    got->data = (struct sbx_buf)SBX_BUF_INIT(64 << 20);
    got->offset = offset;
    got->max = max;
    r = blob_get_new(&got->get, store, &from, blob_on_open, got);
    if (r) {
        return r;
    }
    fixture_settle(&f);
    if (got->n != 1 || got->get != NULL) {
        BAIL_OUT("a get did not end");
    }
    return got->rc;
}

static int delete (const char *tenant, const char *id)
{
    struct blob_outcome got = { 0 };
    const int r = blob_delete(store, tenant, id, blob_on_done, &got);

    if (r) {
        return r;
    }
    fixture_settle(&f);
    return got.n == 1 ? got.rc : -ENOTRECOVERABLE;
}

static unsigned
count_temps(void)
{
    char path[256];
    struct dirent *entry;
    unsigned n = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/tmp", root);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        n += entry->d_name[0] != '.' ? 1 : 0;
    }
    closedir(dir);
    return n;
}

static void
test_round_trip(void)
{
    static char big[3 << 20];
    struct blob_outcome got;
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX];

    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (char)(i * 31 + i / 251);
    }
    is_int(put("t1", "art_empty", "", 0, 1, 100, &got), 0, "an empty blob");
    is_uint(got.info.size, 0, "of no bytes");
    is_str(got.info.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
           "with its hash");
    is_int(put("t1", "art_small", "hello", 5, 2, 5, &got), 0, "a blob of exactly its ceiling");
    is_str(got.info.sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
           "with its hash");
    is_int(put("t1", "art_big", big, sizeof(big), 7777, sizeof(big), &got), 0, "3 MiB in odd pieces");
    is_uint(got.info.size, sizeof(big), "all of it");
    if (sbx_sha256(big, sizeof(big), digest) != 0) {
        BAIL_OUT("sha256");
    }
    sbx_hex(hex, digest, sizeof(digest));
    is_str(got.info.sha256, hex, "with its hash");

    is_int(get("t1", "art_big", 0, BLOB_CHUNK, &got), 0, "it is read");
    is_uint(got.size, sizeof(big), "its size is told first");
    ok(got.data.len == sizeof(big) && memcmp(got.data.data, big, sizeof(big)) == 0, "the same bytes");
    sbx_buf_deinit(&got.data);
    is_int(get("t1", "art_big", sizeof(big) - 100, SIZE_MAX, &got), 0, "read from an offset");
    ok(got.data.len == 100 && memcmp(got.data.data, big + sizeof(big) - 100, 100) == 0, "the tail");
    sbx_buf_deinit(&got.data);
    is_int(get("t1", "art_big", UINT64_MAX, 10, &got), 0, "beyond the end");
    is_uint(got.data.len, 0, "is nothing");
    sbx_buf_deinit(&got.data);
    is_int(get("t1", "art_empty", 0, 10, &got), 0, "the empty one too");
    is_uint(got.n_reads, 1, "in one read");
    sbx_buf_deinit(&got.data);
    is_uint(count_temps(), 0, "nothing temporary is left");
}

static void
test_tenants(void)
{
    struct blob_outcome got;

    is_int(get("t2", "art_small", 0, 10, &got), BLOB_E_NOT_FOUND, "another tenant has no such blob");
    is_int(put("t2", "art_small", "other", 5, 5, 10, &got), 0, "and may have one of the same id");
    is_int(get("t1", "art_small", 0, 10, &got), 0, "the first is");
    ok(got.data.len == 5 && memcmp(got.data.data, "hello", 5) == 0, "what it was");
    sbx_buf_deinit(&got.data);
    is_int(delete ("t2", "art_small"), 0, "deleting the one");
    is_int(delete ("t2", "art_small"), BLOB_E_NOT_FOUND, "twice finds nothing");
    is_int(delete ("t3", "art_small"), BLOB_E_NOT_FOUND, "nor does a tenant without any");
    is_int(get("t1", "art_small", 0, 10, &got), 0, "leaves the other");
    sbx_buf_deinit(&got.data);
}

static void
test_ceilings(void)
{
    static char data[300000];
    struct blob_outcome got;
    struct blob_put *blob;

    is_int(put("t1", "art_over", data, sizeof(data), 1000, sizeof(data) - 1, &got), BLOB_E_TOO_LARGE,
           "a byte too many");
    is_int(get("t1", "art_over", 0, 10, &got), BLOB_E_NOT_FOUND, "leaves no blob");
    is_uint(count_temps(), 0, "and nothing temporary");
    is_int(put("t1", "art_small", "again", 5, 5, 10, &got), BLOB_E_EXISTS, "an id is written once");
    is_uint(count_temps(), 0, "its bytes are gone");
    is_int(get("t1", "art_small", 0, 10, &got), 0, "the first content");
    ok(memcmp(got.data.data, "hello", 5) == 0, "stays");
    sbx_buf_deinit(&got.data);
    is_int(blob_put_new(&blob, store, "t1", "art_huge", UINT64_MAX), -EINVAL, "a ceiling is needed");

    is_int(blob_put_new(&blob, store, "t1", "art_fin", 3), 0, "a put");
    is_int(blob_put_write(blob, "1234", 4), BLOB_E_TOO_LARGE, "written too much");
    is_int(blob_put_write(blob, "1", 1), BLOB_E_TOO_LARGE, "stays refused");
    memset(&got, 0, sizeof(got));
    blob_put_finish(blob, blob_on_put, &got);
    fixture_settle(&f);
    ok(got.n == 1 && got.rc == BLOB_E_TOO_LARGE, "and finishing it says so");
    is_int(get("t1", "art_fin", 0, 10, &got), BLOB_E_NOT_FOUND, "no half blob");
}

static void
test_names(void)
{
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a.b",
        "a b",
        "a\n",
        "\xc3\xa9",
        "a%2f",
        "-\\",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    };
    static const char *const tenants[] = { "../../x", "a/b", "..", "\xff\xfe", "t e n" };
    struct blob_outcome got;
    struct blob_put *blob;
    struct blob_get *reader;
    DIR *dir;
    struct dirent *entry;
    unsigned n_odd = 0;

    for (size_t i = 0; i < SBX_COUNT(bad); i++) {
        const struct blob_source from = { .tenant = "t1", .id = bad[i] };

        is_int(blob_put_new(&blob, store, "t1", bad[i], 10), -EINVAL, "no id to write: case %zu", i);
        is_int(blob_get_new(&reader, store, &from, blob_on_open, &got), -EINVAL, "nor to read");
        is_int(delete ("t1", bad[i]), -EINVAL, "nor to delete");
    }
    is_int(blob_put_new(&blob, store, "", "art_x", 10), -EINVAL, "no tenant");
    is_int(blob_put_new(&blob, store, NULL, "art_x", 10), -EINVAL, "none at all");
    for (size_t i = 0; i < SBX_COUNT(tenants); i++) {
        is_int(put(tenants[i], "art_x", "x", 1, 1, 10, &got), 0, "any tenant's name is only hashed: case %zu",
               i);
    }
    dir = opendir(root);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        n_odd += entry->d_name[0] != '.' && strcmp(entry->d_name, "tmp") != 0 &&
                         strcmp(entry->d_name, "lock") != 0 &&
                         (strlen(entry->d_name) != 32 || strspn(entry->d_name, "0123456789abcdef") != 32)
                     ? 1
                     : 0;
    }
    closedir(dir);
    is_uint(n_odd, 0, "no name but hashes in the root");
}

/* Somebody with the directory puts other things under a blob's name. */
static void
test_foreign_files(void)
{
    struct blob_outcome got;
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX], path[320];

    if (sbx_sha256("t1", 2, digest) != 0) {
        BAIL_OUT("sha256");
    }
    sbx_hex(hex, digest, 16);
    snprintf(path, sizeof(path), "%s/%s/art_link", root, hex);
    ok(symlink("/etc/passwd", path) == 0, "a link under a blob's name");
    ok(get("t1", "art_link", 0, 10, &got) < 0, "is not followed");
    is_int(put("t1", "art_link", "x", 1, 1, 10, &got), BLOB_E_EXISTS, "nor written through");
    snprintf(path, sizeof(path), "%s/%s/art_fifo", root, hex);
    ok(mkfifo(path, 0600) == 0, "a FIFO");
    ok(get("t1", "art_fifo", 0, 10, &got) < 0, "does not block");
}

/* Files of the time before blobs were sealed are read as they are, when it is said that they are. */
static void
test_plain(void)
{
    static char data[200000];
    struct blob_source from = { .tenant = "t1", .id = "art_plain" };
    struct blob_outcome got = { .max = BLOB_CHUNK, .offset = 70000, .data = SBX_BUF_INIT(1 << 20) };
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX], path[320];
    int fd;

    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)(i * 7);
    }
    if (sbx_sha256("t1", 2, digest) != 0) {
        BAIL_OUT("sha256");
    }
    sbx_hex(hex, digest, 16);
    snprintf(path, sizeof(path), "%s/%s/art_plain", root, hex);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, sizeof(data)) != sizeof(data)) {
        BAIL_OUT("write");
    }
    close(fd);
    is_int(blob_get_new(&got.get, store, &from, blob_on_open, &got), 0, "a plain file");
    fixture_settle(&f);
    ok(got.rc == 0 && got.size == sizeof(data) && got.data.len == sizeof(data) - 70000 &&
           memcmp(got.data.data, data + 70000, got.data.len) == 0,
       "is read from the middle");
    sbx_buf_deinit(&got.data);
    is_int(get("t1", "art_plain", 0, 10, &got), -EBADMSG, "but not as a sealed one");
}

static void
note_room(void *arg)
{
    ++*(unsigned *)arg;
}

static void
test_room(void)
{
    static char data[65536];
    struct blob_put *blob;
    struct blob_outcome got = { 0 };
    unsigned rooms = 0;
    uint64_t sent = 0, waits = 0;

    if (blob_put_new(&blob, store, "t1", "art_room", 64 << 20) != 0) {
        BAIL_OUT("blob_put_new");
    }
    while (sent < (32 << 20)) {
        if (blob_put_full(blob)) {
            const unsigned before = rooms;

            waits++;
            blob_put_on_room(blob, note_room, &rooms);
            while (rooms == before) {
                uv_run(&f.loop, UV_RUN_ONCE);
            }
        }
        if (blob_put_write(blob, data, sizeof(data)) != 0) {
            BAIL_OUT("blob_put_write");
        }
        sent += sizeof(data);
    }
    ok(waits > 0 && rooms == waits, "who waits for room is told once each time");
    blob_put_finish(blob, blob_on_put, &got);
    fixture_settle(&f);
    ok(got.n == 1 && got.rc == 0 && got.info.size == sent && rooms == waits, "and all of it is there");
}

static void
test_aborts(void)
{
    static char data[200000];
    struct blob_put *blob;
    struct blob_get *reader;
    struct blob_outcome got = { 0 };

    for (unsigned i = 0; i < 4; i++) {
        if (blob_put_new(&blob, store, "t1", "art_abort", 1 << 20) != 0) {
            BAIL_OUT("blob_put_new");
        }
        if (blob_put_write(blob, data, i % 2 ? sizeof(data) : 10) != 0) {
            BAIL_OUT("blob_put_write");
        }
        if (i >= 2) {
            uv_run(&f.loop, UV_RUN_NOWAIT);
        }
        ok(blob_put_abort(blob) == NULL, "abort, case %u", i);
        fixture_settle(&f);
    }
    is_uint(count_temps(), 0, "nothing is left of aborted puts");
    is_int(get("t1", "art_abort", 0, 10, &got), BLOB_E_NOT_FOUND, "nor under the name");
    ok(blob_put_abort(NULL) == NULL && blob_get_close(NULL) == NULL && blob_store_close(NULL) == NULL,
       "destructors accept NULL");

    memset(&got, 0, sizeof(got));
    const struct blob_source from = source("t1", "art_big");

    if (blob_get_new(&reader, store, &from, blob_on_open, &got) != 0) {
        BAIL_OUT("blob_get_new");
    }
    blob_get_close(reader);
    fixture_settle(&f);
    is_int(got.n + (int)got.n_reads, 0, "a get that was closed makes no callback");
}

static void
test_crash(void)
{
    static char data[200000];
    char error[256], path[320];
    pid_t pid;
    int fd, status;

    store = blob_store_close(store);
    pid = fork();
    if (pid == 0) {
        struct blob_put *blob;

        fixture_loop_init(&f);
        if (store_open(error, sizeof(error)) != 0 ||
            blob_put_new(&blob, store, "t1", "art_crash", 1 << 20) != 0 ||
            blob_put_write(blob, data, sizeof(data)) != 0) {
            _exit(1);
        }
        uv_run(&f.loop, UV_RUN_ONCE);
        while (count_temps() == 0) {
            usleep(1000);
        }
        raise(SIGKILL);
    }
    waitpid(pid, &status, 0);
    ok(WIFSIGNALED(status), "a process died in the middle of a put");
    is_uint(count_temps(), 1, "and left its bytes");
    is_int(store_open(error, sizeof(error)), 0, "a start");
    is_uint(count_temps(), 0, "sweeps them");
    struct blob_outcome got;

    is_int(get("t1", "art_crash", 0, 10, &got), BLOB_E_NOT_FOUND, "no half blob has a name");
    is_int(get("t1", "art_small", 0, 10, &got), 0, "whole ones stay");
    sbx_buf_deinit(&got.data);

    struct blob_store *mine = store;

    is_int(store_open(error, sizeof(error)), -EBUSY, "a second executor is refused: %s", error);
    store = blob_store_close(mine);

    snprintf(path, sizeof(path), "%s/file", f.dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    const struct blob_spec wrong[] = {
        { .driver = "file", .root = path, .loop = &f.loop },
        { .driver = "file", .root = "/nonexistent/blobs", .loop = &f.loop },
        { .driver = "tape", .root = root, .loop = &f.loop },
        { .driver = NULL, .root = root, .loop = &f.loop },
    };

    for (size_t i = 0; i < SBX_COUNT(wrong); i++) {
        ok(blob_store_open(&mine, &wrong[i], error, sizeof(error)) < 0, "refused: %s", error);
    }
}

static void
test_many(void)
{
    static struct blob_outcome got[200];
    struct blob_put *blob;
    char id[32], error[256];
    unsigned n_fine = 0;

    if (store_open(error, sizeof(error)) != 0) {
        BAIL_OUT("%s", error);
    }
    for (unsigned i = 0; i < SBX_COUNT(got); i++) {
        snprintf(id, sizeof(id), "art_m%u", i);
        if (blob_put_new(&blob, store, "many", id, 100) != 0 || blob_put_write(blob, id, strlen(id)) != 0) {
            BAIL_OUT("put");
        }
        blob_put_finish(blob, blob_on_put, &got[i]);
    }
    store = blob_store_close(store);
    fixture_settle(&f);
    for (unsigned i = 0; i < SBX_COUNT(got); i++) {
        n_fine += got[i].n == 1 && got[i].rc == 0 ? 1 : 0;
    }
    is_uint(n_fine, SBX_COUNT(got), "200 at once finish although the store is being closed");
}

static void
test_full(void)
{
    static char data[200000];
    char error[256];
    struct blob_outcome got;

    if (geteuid() != 0) {
        pass("a full disk needs root # SKIP");
        return;
    }
    snprintf(root, sizeof(root), "%.150s/small", f.dir);
    if (mkdir(root, 0700) != 0 ||
        mount("sbx-test", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=0700") != 0) {
        BAIL_OUT("cannot mount");
    }
    is_int(store_open(error, sizeof(error)), 0, "a store on a small disk");
    is_int(put("t1", "art_full", data, sizeof(data), 4096, sizeof(data), &got), -ENOSPC, "that fills up");
    is_uint(count_temps(), 0, "leaves nothing");
    is_int(put("t1", "art_fits", data, 100, 100, 100, &got), 0, "and what fits is stored");
    store = blob_store_close(store);
    is_int(umount(root), 0, "unmounted");
}

int
main(void)
{
    char error[256];

    fixture_init(&f);
    snprintf(root, sizeof(root), "%.150s/blobs", f.dir);
    if (store_open(error, sizeof(error)) != 0) {
        BAIL_OUT("%s", error);
    }
    test_round_trip();
    test_tenants();
    test_ceilings();
    test_names();
    test_foreign_files();
    test_plain();
    test_room();
    test_aborts();
    test_crash();
    test_many();
    test_full();
    fixture_deinit(&f);
    return done_testing();
}
