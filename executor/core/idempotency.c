#include "executor/core/idempotency.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define IDEMPOTENCY_BUCKETS 256u

struct idempotency {
    struct list buckets[IDEMPOTENCY_BUCKETS];
};

int
idempotency_new(struct idempotency **ret)
{
    struct idempotency *idempotency;

    idempotency = calloc(1, sizeof(*idempotency));
    if (idempotency == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < IDEMPOTENCY_BUCKETS; i++) {
        list_init(&idempotency->buckets[i]);
    }
    *ret = idempotency;
    return 0;
}

static void
entry_free(struct idempotency_entry *entry)
{
    list_remove(&entry->link);
    free(entry);
}

struct idempotency *
idempotency_free(struct idempotency *idempotency)
{
    if (idempotency == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < IDEMPOTENCY_BUCKETS; i++) {
        struct list *it, *after;

        list_each (it, after, &idempotency->buckets[i]) {
            entry_free(list_entry(it, struct idempotency_entry, link));
        }
    }
    free(idempotency);
    return NULL;
}

bool
idempotency_key_valid(const char *key)
{
    size_t len = strlen(key);

    if (len == 0 || len > IDEMPOTENCY_KEY_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (key[i] < 0x21 || key[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

/* The body's digest picks nothing: equal keys must meet whatever their bodies. */
static unsigned
key_bucket(const struct idempotency_key *key)
{
    const char *const parts[] = { key->tenant, key->subject, key->route, key->key };
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < SBX_COUNT(parts); i++) {
        for (const char *c = parts[i]; *c != '\0'; c++) {
            hash = (hash ^ (unsigned char)*c) * 16777619u;
        }
        hash = (hash ^ 0xffu) * 16777619u;
    }
    return hash % IDEMPOTENCY_BUCKETS;
}

static bool
entry_matches(const struct idempotency_entry *entry, const struct idempotency_key *key)
{
    return strcmp(entry->key, key->key) == 0 && strcmp(entry->tenant, key->tenant) == 0 &&
           strcmp(entry->subject, key->subject) == 0 && strcmp(entry->route, key->route) == 0;
}

static bool
copy_bounded(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);

    if (len >= size) {
        return false;
    }
    memcpy(out, text, len + 1);
    return true;
}

static int
entry_new(struct idempotency_entry **ret, const struct idempotency_key *key)
{
    struct idempotency_entry *entry;

    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return -ENOMEM;
    }
    if (!copy_bounded(entry->tenant, sizeof(entry->tenant), key->tenant) ||
        !copy_bounded(entry->subject, sizeof(entry->subject), key->subject) ||
        !copy_bounded(entry->route, sizeof(entry->route), key->route) ||
        !copy_bounded(entry->key, sizeof(entry->key), key->key) ||
        !copy_bounded(entry->body_sha256, sizeof(entry->body_sha256), key->body_sha256)) {
        free(entry);
        return -EINVAL;
    }
    *ret = entry;
    return 0;
}

int
idempotency_begin(struct idempotency *idempotency, const struct idempotency_key *key,
                  struct idempotency_entry **ret)
{
    struct list *head = &idempotency->buckets[key_bucket(key)];
    struct idempotency_entry *entry;
    int r;

    for (struct list *it = head->next; it != head; it = it->next) {
        entry = list_entry(it, struct idempotency_entry, link);
        if (!entry_matches(entry, key)) {
            continue;
        }
        if (strcmp(entry->body_sha256, key->body_sha256) != 0) {
            return IDEMPOTENCY_E_MISMATCH;
        }
        if (entry->asked) {
            return IDEMPOTENCY_E_IN_FLIGHT;
        }
        *ret = entry;
        return IDEMPOTENCY_E_KNOWN;
    }

    r = entry_new(&entry, key);
    if (r) {
        return r;
    }
    entry->owner = idempotency;
    entry->asked = true;
    list_append(head, &entry->link);
    *ret = entry;
    return 0;
}

void
idempotency_set_object(struct idempotency_entry *entry, const struct sbx_id *object_id)
{
    assert(!entry->running);
    entry->object_id = *object_id;
    entry->running = true;
}

void
idempotency_answered(struct idempotency_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    entry->asked = false;
    if (!entry->running) {
        entry_free(entry);
    }
}

void
idempotency_object_gone(struct idempotency_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    entry->running = false;
    if (!entry->asked) {
        entry_free(entry);
    }
}
