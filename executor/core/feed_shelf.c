#include "executor/core/feed_shelf.h"

#include <stdlib.h>
#include <string.h>

#include "lib/sbx_context.h"
#include "lib/sbx_id.h"

struct shelved {
    struct list link;
    struct feed *feed;
    size_t bytes;
    uint64_t until_ms;
    char tenant[SBX_NAME_MAX + 1];
    char id[SBX_ID_LEN + 1];
};

struct feed_shelf {
    struct feed_shelf_spec spec;
    struct timer *timer;
    struct list shelved; /* oldest first: all linger equally long */
    size_t bytes;
};

static void
shelf_drop_first(struct feed_shelf *shelf)
{
    struct shelved *shelved = list_entry(list_pop(&shelf->shelved), struct shelved, link);

    shelf->bytes -= shelved->bytes;
    feed_unref(shelved->feed);
    free(shelved);
}

static void
shelf_on_time(void *arg)
{
    struct feed_shelf *shelf = arg;
    uint64_t now = timers_now_ms(shelf->spec.timers);

    while (!list_empty(&shelf->shelved)) {
        const struct shelved *first = list_entry(shelf->shelved.next, struct shelved, link);

        if (first->until_ms > now) {
            timer_start(shelf->timer, first->until_ms - now);
            return;
        }
        shelf_drop_first(shelf);
    }
}

int
feed_shelf_new(struct feed_shelf **ret, const struct feed_shelf_spec *spec)
{
    struct feed_shelf *shelf;
    int r;

    shelf = calloc(1, sizeof(*shelf));
    if (shelf == NULL) {
        return -ENOMEM;
    }
    shelf->spec = *spec;
    list_init(&shelf->shelved);
    r = timer_new(&shelf->timer, spec->timers, shelf_on_time, shelf);
    if (r) {
        free(shelf);
        return r;
    }
    *ret = shelf;
    return 0;
}

struct feed_shelf *
feed_shelf_free(struct feed_shelf *shelf)
{
    if (shelf == NULL) {
        return NULL;
    }
    while (!list_empty(&shelf->shelved)) {
        shelf_drop_first(shelf);
    }
    timer_free(shelf->timer);
    free(shelf);
    return NULL;
}

void
feed_shelf_put(struct feed_shelf *shelf, const char *tenant, const char *id, struct feed *feed)
{
    size_t bytes = feed_held(feed) + sizeof(struct shelved);
    struct shelved *shelved;

    if (bytes > shelf->spec.max_bytes || strlen(tenant) > SBX_NAME_MAX || strlen(id) > SBX_ID_LEN) {
        return;
    }
    shelved = calloc(1, sizeof(*shelved));
    if (shelved == NULL) {
        return;
    }
    memcpy(shelved->tenant, tenant, strlen(tenant) + 1);
    memcpy(shelved->id, id, strlen(id) + 1);
    shelved->feed = feed_ref(feed);
    shelved->bytes = bytes;
    shelved->until_ms = timers_now_ms(shelf->spec.timers) + shelf->spec.linger_ms;
    if (list_empty(&shelf->shelved)) {
        timer_start(shelf->timer, shelf->spec.linger_ms);
    }
    list_append(&shelf->shelved, &shelved->link);
    shelf->bytes += bytes;
    while (shelf->bytes > shelf->spec.max_bytes) {
        shelf_drop_first(shelf);
    }
}

struct feed *
feed_shelf_find(const struct feed_shelf *shelf, const char *tenant, const char *id)
{
    struct list *it, *after;

    list_each (it, after, &shelf->shelved) {
        const struct shelved *shelved = list_entry(it, struct shelved, link);

        if (strcmp(shelved->id, id) == 0 && strcmp(shelved->tenant, tenant) == 0) {
            return shelved->feed;
        }
    }
    return NULL;
}
