/*
 * Archives from outside: whatever is taken has a path that stays inside, no more bytes than it announced, and an end;
 * and it is the same however the bytes are cut.
 */
#include "session-agent/tar_reader.h"

#include <assert.h>
#include <string.h>

#include "session-agent/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    bool open;
    uint64_t left, n, bytes;
};

static int
on_entry(void *arg, const struct tar_entry *entry)
{
    struct seen *seen = arg;

    assert(!seen->open);
    assert((entry->directory && strcmp(entry->path, ".") == 0) ||
           request_path_valid(entry->path, strlen(entry->path)));
    assert((entry->mode & ~0777u) == 0 && (!entry->directory || entry->size == 0));
    seen->open = !entry->directory;
    seen->left = entry->size;
    seen->n++;
    return 0;
}

static int
on_data(void *arg, const char *data, size_t len)
{
    struct seen *seen = arg;

    assert(seen->open && data != NULL && len > 0 && len <= seen->left);
    seen->left -= len;
    seen->bytes += len;
    return 0;
}

static int
on_end(void *arg)
{
    struct seen *seen = arg;

    assert(seen->open && seen->left == 0);
    seen->open = false;
    return 0;
}

static const struct tar_events events = { .entry = on_entry, .data = on_data, .end = on_end };

static int
read_all(struct seen *seen, const char *data, size_t size, size_t piece)
{
    struct tar_reader *reader;
    int r = 0;

    assert(tar_reader_new(&reader, &events, seen) == 0);
    for (size_t at = 0; r == 0 && at < size; at += piece) {
        r = tar_reader_feed(reader, data + at, size - at < piece ? size - at : piece);
    }
    if (r == 0) {
        r = tar_reader_finish(reader);
    }
    assert(r == 0 || r == TAR_E_REFUSED);
    assert((r == 0) == (tar_reader_why(reader)[0] == '\0'));
    assert(r != 0 || !seen->open);
    (void)tar_reader_free(reader);
    return r;
}

/* The sum is made to fit when the first byte says so: else nothing behind it would ever be reached. */
static void
mend(char *block)
{
    unsigned sum = 0;

    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        sum += (unsigned char)block[i];
    }
    for (unsigned i = 6; i-- > 0; sum >>= 3) {
        block[148 + i] = (char)('0' + (sum & 7));
    }
    block[154] = '\0';
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char copy[1 << 18];
    struct seen whole = { 0 }, cut = { 0 };
    bool mends = size > 0 && data[0] == 'm';
    int a, b;

    if (size < 1 || size - 1 > sizeof(copy)) {
        return 0;
    }
    memcpy(copy, data + 1, size - 1);
    for (size_t at = 0; mends && at + TAR_BLOCK <= size - 1; at += TAR_BLOCK) {
        if (memcmp(copy + at + 257, "ustar", 5) == 0) {
            mend(copy + at);
        }
    }
    a = read_all(&whole, copy, size - 1, size);
    b = read_all(&cut, copy, size - 1, 7);
    assert(a == b && whole.n == cut.n && whole.bytes == cut.bytes);
    return 0;
}
