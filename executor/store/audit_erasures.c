#include "audit_erasures.h"

#include <stdlib.h>
#include <string.h>

#include "audit_segments.h"

void
audit_erasures_deinit(struct audit_erasures *erasures)
{
    free(erasures->items);
    free(erasures->reach);
    *erasures = (struct audit_erasures){ 0 };
}

static int
erasures_add(struct audit_erasures *erasures, const struct audit_erasure *erasure)
{
    struct audit_erasure *grown;
    size_t cap;

    if (erasures->n == erasures->cap) {
        if (erasures->cap >= AUDIT_ERASURES_MAX) {
            return -E2BIG;
        }
        cap = erasures->cap ? erasures->cap * 2 : 64;
        grown = realloc(erasures->items, cap * sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        erasures->items = grown;
        erasures->cap = cap;
    }
    erasures->items[erasures->n++] = *erasure;
    return 0;
}

/* Takes fd. A segment that is not sound ends early; the walk says so. */
static int
erasures_read(struct audit_erasures *erasures, int fd)
{
    struct audit_reader reader;
    struct audit_erasure erasure;
    const char *line;
    size_t len;
    int r;

    r = audit_reader_init(&reader, fd);
    while (r == 0 && (r = audit_reader_next(&reader, &line, &len)) == AUDIT_READ_LINE) {
        r = audit_erasure_parse(&erasure, line, len) ? erasures_add(erasures, &erasure) : 0;
    }
    audit_reader_deinit(&reader);
    return r < 0 ? r : 0;
}

static int
erasure_compare(const void *left, const void *right)
{
    const struct audit_erasure *a = left, *b = right;
    const int r = strcmp(a->tenant, b->tenant);

    return r != 0 ? r : (a->from > b->from) - (a->from < b->from);
}

static int
erasures_sort(struct audit_erasures *erasures)
{
    if (erasures->n == 0) {
        return 0;
    }
    erasures->reach = calloc(erasures->n, sizeof(*erasures->reach));
    if (erasures->reach == NULL) {
        return -ENOMEM;
    }
    qsort(erasures->items, erasures->n, sizeof(*erasures->items), erasure_compare);
    for (size_t i = 0; i < erasures->n; i++) {
        const struct audit_erasure *item = &erasures->items[i];
        const uint64_t before =
            i > 0 && strcmp(item->tenant, item[-1].tenant) == 0 ? erasures->reach[i - 1] : 0;

        erasures->reach[i] = item->to > before ? item->to : before;
    }
    return 0;
}

static int
erasures_load(struct audit_erasures *erasures, int dir_fd)
{
    struct audit_segments segments = { 0 };
    int fd, r;

    audit_erasures_deinit(erasures);
    r = audit_segments_scan(&segments, dir_fd);
    for (size_t i = 0; i < segments.n && r == 0; i++) {
        fd = audit_segment_open(dir_fd, segments.first[i]);
        r = fd < 0 ? fd : erasures_read(erasures, fd);
    }
    audit_segments_deinit(&segments);
    return r ? r : erasures_sort(erasures);
}

/* Back from the last of the tenant that begins at the line or before it, as far as any of them reaches the line. */
static bool
erasures_have(const struct audit_erasures *erasures, const struct audit_line *line)
{
    struct audit_erasure key = { .from = line->seq };
    size_t low = 0, high = erasures->n;

    memcpy(key.tenant, line->tenant, sizeof(key.tenant));
    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (erasure_compare(&erasures->items[middle], &key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low > 0 && erasures->reach[low - 1] >= line->seq; low--) {
        const struct audit_erasure *item = &erasures->items[low - 1];

        if (strcmp(item->tenant, line->tenant) != 0) {
            break;
        }
        if (audit_erasure_covers(item, line)) {
            return true;
        }
    }
    return false;
}

int
audit_erasures_cover(struct audit_erasures *erasures, int dir_fd, const struct audit_line *line, bool *ret)
{
    int r = 0;

    *ret = erasures->reach != NULL && erasures_have(erasures, line);
    if (!*ret) {
        r = erasures_load(erasures, dir_fd);
        *ret = r == 0 && erasures->reach != NULL && erasures_have(erasures, line);
    }
    return r;
}
