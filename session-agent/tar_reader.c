/*
 *   HEAD --> DATA --> PAD --> HEAD      a regular file
 *   HEAD --> EXTRA -> PAD --> HEAD      a header for the next entry
 *   HEAD --> HEAD                       a directory
 *   HEAD --> OVER                       two blocks of zeroes; what follows does not count
 */
#include "session-agent/tar_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session-agent/request.h"

#define TAR_SIZE_MAX (UINT64_C(1) << 50) /* far past every limit, far from an overflow */

/* Offsets and lengths in a header. */
enum {
    AT_NAME = 0,
    LEN_NAME = 100,
    AT_MODE = 100,
    LEN_MODE = 8,
    AT_SIZE = 124,
    LEN_SIZE = 12,
    AT_SUM = 148,
    LEN_SUM = 8,
    AT_TYPE = 156,
    AT_MAGIC = 257,
    AT_PREFIX = 345,
    LEN_PREFIX = 155
};

enum tar_state { TAR_HEAD, TAR_DATA, TAR_EXTRA, TAR_PAD, TAR_OVER };

struct tar_reader {
    const struct tar_events *events;
    void *arg;
    enum tar_state state;
    char block[TAR_BLOCK];
    size_t n_block;
    uint64_t left; /* of data or padding */
    uint64_t padding;
    char *extra;
    size_t n_extra, extra_len;
    char extra_type;
    unsigned n_zero;
    bool has_path, has_size; /* told before the header they belong to */
    char path[TAR_PATH_MAX + 1];
    uint64_t size;
    char why[256];
};

int
tar_reader_new(struct tar_reader **ret, const struct tar_events *events, void *arg)
{
    struct tar_reader *reader = calloc(1, sizeof(*reader));

    if (reader == NULL) {
        return -ENOMEM;
    }
    reader->events = events;
    reader->arg = arg;
    *ret = reader;
    return 0;
}

struct tar_reader *
tar_reader_free(struct tar_reader *reader)
{
    if (reader != NULL) {
        free(reader->extra);
        free(reader);
    }
    return NULL;
}

const char *
tar_reader_why(const struct tar_reader *reader)
{
    return reader->why;
}

static int
refuse(struct tar_reader *reader, const char *what, const char *why)
{
    (void)snprintf(reader->why, sizeof(reader->why), "%.160s: %s", what, why); /* cut at worst */
    return TAR_E_REFUSED;
}

/* Octal digits between spaces and an end, or base 256 with the top bit. */
static bool
number_take(uint64_t *ret, const char *field, size_t len)
{
    uint64_t value = 0;
    size_t i = 0;

    if (((unsigned char)field[0] & 0x80) != 0) {
        value = (unsigned char)field[0] & 0x7f; /* a negative number is far past the limit */
        for (i = 1; i < len; i++) {
            if (value >> 55 != 0) {
                return false;
            }
            value = value << 8 | (unsigned char)field[i];
        }
        *ret = value;
        return true;
    }
    while (i < len && field[i] == ' ') {
        i++;
    }
    for (; i < len && field[i] >= '0' && field[i] <= '7'; i++) {
        if (value >> 60 != 0) {
            return false;
        }
        value = value << 3 | (uint64_t)(field[i] - '0');
    }
    *ret = value;
    return i == len || field[i] == ' ' || field[i] == '\0';
}

static bool
sum_fits(const char *block)
{
    uint64_t told;
    unsigned sum = 0;
    int signed_sum = 0; /* of old writers */

    for (size_t i = 0; i < TAR_BLOCK; i++) {
        char c = i >= AT_SUM && i < AT_SUM + LEN_SUM ? ' ' : block[i];

        sum += (unsigned char)c;
        signed_sum += (signed char)c;
    }
    return number_take(&told, block + AT_SUM, LEN_SUM) &&
           (told == sum || (signed_sum >= 0 && told == (unsigned)signed_sum));
}

static bool
is_zero(const char *block)
{
    return block[0] == '\0' && memcmp(block, block + 1, TAR_BLOCK - 1) == 0;
}

/* The name of an entry from its header alone. */
static void
name_take(struct tar_reader *reader, const char *block)
{
    size_t prefix = strnlen(block + AT_PREFIX, LEN_PREFIX), name = strnlen(block + AT_NAME, LEN_NAME), n = 0;

    /* GNU's own form has times where ustar has the prefix. */
    if (memcmp(block + AT_MAGIC, "ustar\0", 6) == 0 && prefix > 0) {
        memcpy(reader->path, block + AT_PREFIX, prefix);
        reader->path[prefix] = '/';
        n = prefix + 1;
    }
    memcpy(reader->path + n, block + AT_NAME, name);
    reader->path[n + name] = '\0';
}

/* "./a/b/" is a/b and "./" is the directory itself; nothing else is made to fit. */
static bool
path_fits(struct tar_reader *reader, bool directory)
{
    char *path = reader->path;
    size_t len;

    while (path[0] == '.' && path[1] == '/') {
        path += 2;
    }
    len = strlen(path);
    if (directory && len > 0 && path[len - 1] == '/') {
        path[--len] = '\0';
    }
    if (directory && (len == 0 || strcmp(path, ".") == 0)) {
        memmove(reader->path, ".", 2);
        return true;
    }
    if (!request_path_valid(path, len)) {
        return false;
    }
    memmove(reader->path, path, len + 1);
    return true;
}

/* One record "17 path=a/name\n" of a pax header; advances, or says why not. */
static int
pax_record(struct tar_reader *reader, const char **at, const char *end, bool global)
{
    const char *p = *at, *key, *value, *stop;
    size_t len = 0;

    while (p < end && *p >= '0' && *p <= '9' && len < TAR_EXTRA_MAX) {
        len = len * 10 + (size_t)(*p++ - '0');
    }
    if (p == end || *p != ' ' || p == *at || len > (size_t)(end - *at) || len <= (size_t)(p - *at) + 2 ||
        (*at)[len - 1] != '\n') {
        return refuse(reader, "a pax header", "is malformed");
    }
    key = p + 1;
    stop = *at + len - 1;
    *at = stop + 1;
    value = memchr(key, '=', (size_t)(stop - key));
    if (value == NULL) {
        return refuse(reader, "a pax header", "is malformed");
    }
    value++;
    if (strncmp(key, "GNU.sparse.", 11) == 0) {
        return refuse(reader, "a sparse file", "is not taken");
    }
    if (value - key == 5 && memcmp(key, "path=", 5) == 0) {
        if (global || (size_t)(stop - value) > TAR_PATH_MAX ||
            memchr(value, '\0', (size_t)(stop - value)) != NULL) {
            return refuse(reader, "a path", "is too long, or has a NUL byte");
        }
        memcpy(reader->path, value, (size_t)(stop - value));
        reader->path[stop - value] = '\0';
        reader->has_path = true;
    } else if (value - key == 5 && memcmp(key, "size=", 5) == 0) {
        uint64_t size = 0;

        for (p = value; p < stop && *p >= '0' && *p <= '9' && size <= TAR_SIZE_MAX; p++) {
            size = size * 10 + (uint64_t)(*p - '0');
        }
        if (global || p != stop || p == value || size > TAR_SIZE_MAX) {
            return refuse(reader, "a size", "is no number that fits");
        }
        reader->size = size;
        reader->has_size = true;
    }
    return 0; /* times, owners, comments and the like */
}

static int
extra_done(struct tar_reader *reader)
{
    const char *at = reader->extra, *end = reader->extra + reader->extra_len;
    size_t len;
    int r = 0;

    if (reader->extra_type != 'L') {
        while (r == 0 && at < end) {
            r = pax_record(reader, &at, end, reader->extra_type == 'g');
        }
        return r;
    }
    len = strnlen(reader->extra, reader->extra_len);
    if (len > TAR_PATH_MAX) {
        return refuse(reader, "a path", "is too long");
    }
    memcpy(reader->path, reader->extra, len);
    reader->path[len] = '\0';
    reader->has_path = true;
    return 0;
}

static int
extra_begin(struct tar_reader *reader, char type, uint64_t size)
{
    if (size > TAR_EXTRA_MAX) {
        return refuse(reader, "a header", "is too long");
    }
    free(reader->extra);
    reader->extra = malloc((size_t)size + 1);
    if (reader->extra == NULL) {
        return -ENOMEM;
    }
    reader->extra[size] = '\0'; /* numbers and names end */
    reader->extra_type = type;
    reader->extra_len = (size_t)size;
    reader->n_extra = 0;
    reader->left = size;
    reader->state = size > 0 ? TAR_EXTRA : TAR_HEAD;
    return size > 0 ? 0 : extra_done(reader);
}

static const char *
type_refusal(char type)
{
    switch (type) {
    case '\0':
    case '0':
    case '7':
    case '5':
        return NULL;
    case '1':
        return "is a hard link, which is not taken";
    case '2':
        return "is a symbolic link, which is not taken";
    case '3':
    case '4':
        return "is a device, which is not taken";
    case '6':
        return "is a pipe, which is not taken";
    case 'S':
        return "is a sparse file, which is not taken";
    default:
        return "is of a kind that is not taken";
    }
}

static int
entry_begin(struct tar_reader *reader, const char *block, char type, uint64_t size)
{
    size_t len;
    uint64_t mode;
    const char *why = type_refusal(type);
    bool directory;
    struct tar_entry entry;
    int r;

    if (!reader->has_path) {
        name_take(reader, block);
    }
    size = reader->has_size ? reader->size : size;
    reader->has_path = reader->has_size = false;
    len = strlen(reader->path);
    /* Before POSIX, a directory was a file whose name ends with a slash. */
    directory = type == '5' || (type == '\0' && len > 0 && reader->path[len - 1] == '/');
    if (why != NULL) {
        return refuse(reader, reader->path, why);
    }
    if (!path_fits(reader, directory)) {
        return refuse(reader, reader->path, "must be relative, of UTF-8, without empty, . and .. components");
    }
    if (!number_take(&mode, block + AT_MODE, LEN_MODE)) {
        return refuse(reader, reader->path, "has a mode that is no number");
    }
    if (size > TAR_SIZE_MAX || (directory && size > 0)) {
        return refuse(reader, reader->path, "has a size that cannot be");
    }
    entry = (struct tar_entry){
        .path = reader->path, .directory = directory, .mode = (unsigned)(mode & 0777), .size = size
    };
    r = reader->events->entry(reader->arg, &entry);
    if (r != 0 || directory) {
        return r;
    }
    reader->left = size;
    reader->padding = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
    reader->state = size > 0 ? TAR_DATA : TAR_HEAD;
    return size > 0 ? 0 : reader->events->end(reader->arg);
}

static int
head_done(struct tar_reader *reader)
{
    const char *block = reader->block;
    char type = block[AT_TYPE];
    uint64_t size;

    reader->n_block = 0;
    if (is_zero(block)) {
        reader->state = ++reader->n_zero == 2 ? TAR_OVER : TAR_HEAD;
        return 0;
    }
    if (reader->n_zero > 0 || !sum_fits(block)) {
        return refuse(reader, "the archive", "is no tar archive, or is damaged");
    }
    if (!number_take(&size, block + AT_SIZE, LEN_SIZE)) {
        return refuse(reader, "a size", "is no number that fits");
    }
    if (type == 'x' || type == 'g' || type == 'L') {
        reader->padding = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
        return extra_begin(reader, type, size);
    }
    if (type == 'K') {
        return refuse(reader, "a link", "is not taken");
    }
    return entry_begin(reader, block, type, size);
}

/* Data or a header's text is complete. */
static int
content_done(struct tar_reader *reader)
{
    bool extra = reader->state == TAR_EXTRA;

    reader->left = reader->padding;
    reader->state = reader->padding > 0 ? TAR_PAD : TAR_HEAD;
    return extra ? extra_done(reader) : reader->events->end(reader->arg);
}

/* Takes some of the input; 0, or why it ends. */
static int
feed_some(struct tar_reader *reader, const char **data, size_t *len)
{
    size_t n = *len;
    int r = 0;

    if (reader->state == TAR_HEAD) {
        n = n < TAR_BLOCK - reader->n_block ? n : TAR_BLOCK - reader->n_block;
        memcpy(reader->block + reader->n_block, *data, n);
        reader->n_block += n;
    } else if (reader->state != TAR_OVER) {
        n = n < reader->left ? n : (size_t)reader->left;
        reader->left -= n;
    }
    if (reader->state == TAR_EXTRA) {
        memcpy(reader->extra + reader->n_extra, *data, n);
        reader->n_extra += n;
    } else if (reader->state == TAR_DATA) {
        r = reader->events->data(reader->arg, *data, n);
    }
    *data += n;
    *len -= n;
    if (r != 0 || reader->state == TAR_OVER) {
        return r;
    }
    if (reader->state == TAR_HEAD) {
        return reader->n_block == TAR_BLOCK ? head_done(reader) : 0;
    }
    if (reader->left > 0) {
        return 0;
    }
    if (reader->state == TAR_PAD) {
        reader->state = TAR_HEAD;
        return 0;
    }
    return content_done(reader);
}

int
tar_reader_feed(struct tar_reader *reader, const char *data, size_t len)
{
    int r = 0;

    while (r == 0 && len > 0) {
        r = feed_some(reader, &data, &len);
    }
    return r;
}

int
tar_reader_finish(struct tar_reader *reader)
{
    return reader->state == TAR_OVER ? 0 : refuse(reader, "the archive", "ends before its end");
}
