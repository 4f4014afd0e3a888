/*
 * Owns the layout of the shared limit table:
 *
 *   head | hash heads | entries | leases
 *
 * An entry is on the free list, or in one hash chain. An entry that no lease counts
 * on is also on the idle list, oldest first: there is the victim when entries run
 * out. A lease is on the free list or on its worker's list.
 */

#include <assert.h>
#include <string.h>

#include "ngx_sandbox_elapsed.h"
#include "ngx_sandbox_quota.h"

#define NIL UINT32_MAX
#define QUOTA_MIN 64 /* entries and leases; also more than one request can touch */

struct quota_entry {
    struct ngx_sandbox_bucket bucket;
    uint64_t hash;
    uint32_t chain; /* next in the hash chain or on the free list */
    uint32_t older, newer;
    uint32_t held;
    bool rated; /* the bucket was set up */
    uint8_t key_len;
    char key[NGX_SANDBOX_QUOTA_KEY];
};

struct quota_lease {
    uint32_t serial; /* 0: free */
    uint32_t slot;
    uint32_t next, prev;
    uint32_t n_entries;
    uint32_t entry[NGX_SANDBOX_QUOTA_CHARGES];
};

struct quota_worker {
    uint64_t seen_ms;
    int32_t pid; /* 0: nobody */
    uint32_t leases;
};

struct ngx_sandbox_quota {
    uint64_t seed;
    uint32_t busy;
    uint32_t serial;
    uint32_t n_heads, n_entries, n_leases;
    uint32_t free_entry, free_lease;
    uint32_t oldest, newest;
    uint32_t used_entries, used_leases;
    uint32_t *heads; /* the block is mapped at one address in all workers */
    struct quota_entry *entries;
    struct quota_lease *leases;
    struct quota_worker worker[NGX_SANDBOX_QUOTA_SLOTS];
};

static void
quota_reset(struct ngx_sandbox_quota *table)
{
    uint32_t i;

    for (i = 0; i < table->n_heads; i++) {
        table->heads[i] = NIL;
    }
    for (i = 0; i < table->n_entries; i++) {
        table->entries[i].chain = i + 1 < table->n_entries ? i + 1 : NIL;
    }
    for (i = 0; i < table->n_leases; i++) {
        table->leases[i].serial = 0;
        table->leases[i].next = i + 1 < table->n_leases ? i + 1 : NIL;
    }
    for (i = 0; i < NGX_SANDBOX_QUOTA_SLOTS; i++) {
        table->worker[i].leases = NIL;
    }
    table->free_entry = 0;
    table->free_lease = 0;
    table->oldest = NIL;
    table->newest = NIL;
    table->used_entries = 0;
    table->used_leases = 0;
}

struct ngx_sandbox_quota *
ngx_sandbox_quota_init(void *memory, size_t size, uint64_t seed)
{
    struct ngx_sandbox_quota *table = memory;
    size_t room, n_leases, n_entries, n_heads;

    if (size < sizeof(*table) || size > UINT32_MAX) {
        return NULL;
    }
    room = size - sizeof(*table);

    n_leases = room / 8 / sizeof(struct quota_lease);
    n_entries = (room - room / 8) / (sizeof(struct quota_entry) + sizeof(uint32_t));
    if (n_entries < QUOTA_MIN || n_leases < QUOTA_MIN) {
        return NULL;
    }
    n_heads = QUOTA_MIN;
    while (n_heads * 2 <= n_entries) {
        n_heads *= 2;
    }

    memset(table, 0, sizeof(*table));
    table->seed = seed;
    table->n_heads = (uint32_t)n_heads;
    table->n_entries = (uint32_t)n_entries;
    table->n_leases = (uint32_t)n_leases;
    table->entries = (struct quota_entry *)(table + 1);
    table->leases = (struct quota_lease *)(table->entries + n_entries);
    table->heads = (uint32_t *)(table->leases + n_leases);
    quota_reset(table);
    return table;
}

bool
ngx_sandbox_quota_enter(struct ngx_sandbox_quota *table)
{
    bool whole = __atomic_load_n(&table->busy, __ATOMIC_SEQ_CST) == 0;

    /* Ordered before any change: a kill may come between any two instructions. */
    __atomic_store_n(&table->busy, 1, __ATOMIC_SEQ_CST);
    if (!whole) {
        quota_reset(table);
    }
    return whole;
}

void
ngx_sandbox_quota_leave(struct ngx_sandbox_quota *table)
{
    __atomic_store_n(&table->busy, 0, __ATOMIC_SEQ_CST);
}

/* FNV-1a from a secret start, then mixed: the low bits choose the chain. */
static uint64_t
quota_hash(const struct ngx_sandbox_quota *table, const char *key, size_t len)
{
    uint64_t hash = table->seed ^ 0xcbf29ce484222325u;
    size_t i;

    for (i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3u;
    }
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdu;
    return hash ^ hash >> 33;
}

static void
idle_remove(struct ngx_sandbox_quota *table, uint32_t at)
{
    struct quota_entry *entry = &table->entries[at];

    if (entry->older == NIL) {
        table->oldest = entry->newer;
    } else {
        table->entries[entry->older].newer = entry->newer;
    }
    if (entry->newer == NIL) {
        table->newest = entry->older;
    } else {
        table->entries[entry->newer].older = entry->older;
    }
}

static void
idle_append(struct ngx_sandbox_quota *table, uint32_t at)
{
    struct quota_entry *entry = &table->entries[at];

    entry->newer = NIL;
    entry->older = table->newest;
    if (table->newest == NIL) {
        table->oldest = at;
    } else {
        table->entries[table->newest].newer = at;
    }
    table->newest = at;
}

static void
chain_remove(struct ngx_sandbox_quota *table, uint32_t at)
{
    uint32_t *link = &table->heads[table->entries[at].hash & (table->n_heads - 1)];

    while (*link != at) {
        link = &table->entries[*link].chain;
    }
    *link = table->entries[at].chain;
}

static uint32_t
entry_find(const struct ngx_sandbox_quota *table, uint64_t hash, const struct ngx_sandbox_charge *charge)
{
    uint32_t at = table->heads[hash & (table->n_heads - 1)];

    while (at != NIL) {
        const struct quota_entry *entry = &table->entries[at];

        if (entry->hash == hash && entry->key_len == charge->key_len &&
            memcmp(entry->key, charge->key, entry->key_len) == 0) {
            return at;
        }
        at = entry->chain;
    }
    return NIL;
}

/* A free entry, else the one idle for the longest; NIL when all are held. */
static uint32_t
entry_obtain(struct ngx_sandbox_quota *table)
{
    uint32_t at = table->free_entry;

    if (at != NIL) {
        table->free_entry = table->entries[at].chain;
        table->used_entries++;
        return at;
    }

    at = table->oldest;
    if (at != NIL) {
        idle_remove(table, at);
        chain_remove(table, at);
    }
    return at;
}

/* The charge's entry, made when new, youngest of the idle ones, its bucket up to date. */
static uint32_t
entry_touch(struct ngx_sandbox_quota *table, const struct ngx_sandbox_charge *charge, uint64_t now_ms)
{
    uint64_t hash = quota_hash(table, charge->key, charge->key_len);
    uint32_t at = entry_find(table, hash, charge);
    struct quota_entry *entry;

    if (at == NIL) {
        at = entry_obtain(table);
        if (at == NIL) {
            return NIL;
        }
        entry = &table->entries[at];
        memset(entry, 0, sizeof(*entry));
        memcpy(entry->key, charge->key, charge->key_len);
        entry->key_len = charge->key_len;
        entry->hash = hash;
        entry->chain = table->heads[hash & (table->n_heads - 1)];
        table->heads[hash & (table->n_heads - 1)] = at;
        idle_append(table, at);
    }

    entry = &table->entries[at];
    if (entry->held == 0) {
        idle_remove(table, at);
        idle_append(table, at);
    }
    if (charge->rate.per_second_milli == 0) {
        return at;
    }
    if (entry->rated) {
        ngx_sandbox_bucket_refill(&entry->bucket, &charge->rate, now_ms);
    } else {
        ngx_sandbox_bucket_init(&entry->bucket, &charge->rate, now_ms);
        entry->rated = true;
    }
    return at;
}

static void
verdict_set(struct ngx_sandbox_verdict *verdict, unsigned i, const struct quota_entry *entry,
            const struct ngx_sandbox_charge *charge)
{
    verdict->charge = i;
    verdict->held = entry->held;
    verdict->has_bucket = charge->rate.per_second_milli != 0;
    verdict->remaining = verdict->has_bucket ? ngx_sandbox_bucket_remaining(&entry->bucket) : 0;
    verdict->wait_ms = verdict->has_bucket ? ngx_sandbox_bucket_wait(&entry->bucket, &charge->rate) : 0;
}

/* Looks at all charges before any is taken. Of several empty buckets the slowest speaks: it is the true wait. */
static int
quota_check(const struct ngx_sandbox_quota *table, const struct ngx_sandbox_charge *charge, unsigned n,
            const uint32_t *at, struct ngx_sandbox_verdict *verdict)
{
    struct ngx_sandbox_verdict one;
    int r = 0;
    unsigned i;

    for (i = 0; i < n; i++) {
        const struct quota_entry *entry = &table->entries[at[i]];

        if (charge[i].rate.per_second_milli == 0 || ngx_sandbox_bucket_has(&entry->bucket)) {
            continue;
        }
        verdict_set(&one, i, entry, &charge[i]);
        if (r == 0 || one.wait_ms > verdict->wait_ms) {
            *verdict = one;
        }
        r = NGX_SANDBOX_QUOTA_E_RATE;
    }
    if (r) {
        return r;
    }

    for (i = 0; i < n; i++) {
        if (charge[i].concurrency != 0 && table->entries[at[i]].held >= charge[i].concurrency) {
            verdict_set(verdict, i, &table->entries[at[i]], &charge[i]);
            return NGX_SANDBOX_QUOTA_E_CONCURRENCY;
        }
    }
    return 0;
}

static void
quota_take(struct ngx_sandbox_quota *table, const struct ngx_sandbox_charge *charge, unsigned n,
           const uint32_t *at, struct ngx_sandbox_verdict *verdict)
{
    struct ngx_sandbox_verdict one;
    unsigned i;

    for (i = 0; i < n; i++) {
        struct quota_entry *entry = &table->entries[at[i]];

        if (charge[i].rate.per_second_milli == 0) {
            continue;
        }
        ngx_sandbox_bucket_take(&entry->bucket);
        verdict_set(&one, i, entry, &charge[i]);
        if (!verdict->has_bucket || one.remaining < verdict->remaining) {
            *verdict = one;
        }
    }
}

static void
lease_fill(struct ngx_sandbox_quota *table, const struct ngx_sandbox_charge *charge, unsigned n,
           const uint32_t *at, unsigned slot, struct ngx_sandbox_lease *ret)
{
    struct quota_worker *worker = &table->worker[slot];
    uint32_t index = table->free_lease;
    struct quota_lease *lease = &table->leases[index];
    unsigned i;

    table->free_lease = lease->next;
    table->used_leases++;
    table->serial = table->serial == UINT32_MAX ? 1 : table->serial + 1;

    lease->serial = table->serial;
    lease->slot = slot;
    lease->prev = NIL;
    lease->next = worker->leases;
    if (worker->leases != NIL) {
        table->leases[worker->leases].prev = index;
    }
    worker->leases = index;

    lease->n_entries = 0;
    for (i = 0; i < n; i++) {
        if (charge[i].concurrency == 0) {
            continue;
        }
        if (table->entries[at[i]].held++ == 0) {
            idle_remove(table, at[i]);
        }
        lease->entry[lease->n_entries++] = at[i];
    }

    ret->index = index;
    ret->serial = lease->serial;
}

int
ngx_sandbox_quota_admit(struct ngx_sandbox_quota *table, const struct ngx_sandbox_charge *charge,
                        unsigned n_charges, unsigned slot, uint64_t now_ms, struct ngx_sandbox_lease *lease,
                        struct ngx_sandbox_verdict *verdict)
{
    uint32_t at[NGX_SANDBOX_QUOTA_CHARGES];
    bool capped = false;
    unsigned i;
    int r;

    assert(n_charges <= NGX_SANDBOX_QUOTA_CHARGES && slot < NGX_SANDBOX_QUOTA_SLOTS);
    memset(verdict, 0, sizeof(*verdict));
    memset(lease, 0, sizeof(*lease));

    /* The entries of this call are the youngest, so none of them is another's victim. */
    for (i = 0; i < n_charges; i++) {
        at[i] = entry_touch(table, &charge[i], now_ms);
        if (at[i] == NIL) {
            return NGX_SANDBOX_QUOTA_E_FULL;
        }
        capped = capped || charge[i].concurrency != 0;
    }

    r = quota_check(table, charge, n_charges, at, verdict);
    if (r) {
        return r;
    }
    if (capped && table->free_lease == NIL) {
        return NGX_SANDBOX_QUOTA_E_FULL;
    }

    quota_take(table, charge, n_charges, at, verdict);
    if (capped) {
        lease_fill(table, charge, n_charges, at, slot, lease);
    }
    return 0;
}

static void
lease_drop(struct ngx_sandbox_quota *table, uint32_t index)
{
    struct quota_lease *lease = &table->leases[index];
    uint32_t i;

    for (i = 0; i < lease->n_entries; i++) {
        struct quota_entry *entry = &table->entries[lease->entry[i]];

        assert(entry->held > 0);
        if (--entry->held == 0) {
            idle_append(table, lease->entry[i]);
        }
    }

    if (lease->prev == NIL) {
        table->worker[lease->slot].leases = lease->next;
    } else {
        table->leases[lease->prev].next = lease->next;
    }
    if (lease->next != NIL) {
        table->leases[lease->next].prev = lease->prev;
    }

    lease->serial = 0;
    lease->next = table->free_lease;
    table->free_lease = index;
    table->used_leases--;
}

void
ngx_sandbox_quota_release(struct ngx_sandbox_quota *table, struct ngx_sandbox_lease *lease)
{
    if (lease->serial != 0 && lease->index < table->n_leases &&
        table->leases[lease->index].serial == lease->serial) {
        lease_drop(table, lease->index);
    }
    lease->serial = 0;
}

static unsigned
worker_drop(struct ngx_sandbox_quota *table, struct quota_worker *worker)
{
    unsigned n = 0;

    while (worker->leases != NIL) {
        lease_drop(table, worker->leases);
        n++;
    }
    return n;
}

unsigned
ngx_sandbox_quota_join(struct ngx_sandbox_quota *table, unsigned slot, int32_t pid, uint64_t now_ms)
{
    assert(slot < NGX_SANDBOX_QUOTA_SLOTS);
    ngx_sandbox_quota_beat(table, slot, pid, now_ms);
    return worker_drop(table, &table->worker[slot]);
}

void
ngx_sandbox_quota_beat(struct ngx_sandbox_quota *table, unsigned slot, int32_t pid, uint64_t now_ms)
{
    table->worker[slot].pid = pid;
    table->worker[slot].seen_ms = now_ms;
}

unsigned
ngx_sandbox_quota_reap(struct ngx_sandbox_quota *table, ngx_sandbox_alive_fn alive, uint64_t now_ms)
{
    unsigned n = 0;
    unsigned i;

    for (i = 0; i < NGX_SANDBOX_QUOTA_SLOTS; i++) {
        struct quota_worker *worker = &table->worker[i];
        bool stale = ngx_sandbox_elapsed(now_ms, worker->seen_ms) > NGX_SANDBOX_QUOTA_STALE_MS;

        if (worker->pid == 0 || (!stale && alive(worker->pid))) {
            continue;
        }
        n += worker_drop(table, worker);
        worker->pid = 0;
    }
    return n;
}

void
ngx_sandbox_quota_usage(const struct ngx_sandbox_quota *table, uint32_t *ret_entries, uint32_t *ret_leases)
{
    *ret_entries = table->used_entries;
    *ret_leases = table->used_leases;
}
