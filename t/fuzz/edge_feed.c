/* Any bytes as an answer of the feed of policies: all of it is taken or none, bounded, in order, with names that are names. */
#include "ngx_sandbox_module/ngx_sandbox_feed.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_policy(const struct ngx_sandbox_change *change)
{
    unsigned i;

    if (change->n_targets > NGX_SANDBOX_FEED_TARGETS_MAX ||
        (change->n_targets != 0 && change->target == NULL)) {
        abort();
    }
    for (i = 0; i < change->n_targets; i++) {
        const struct ngx_sandbox_target *target = &change->target[i];

        if (target->kind >= NGX_SANDBOX_N_TARGETS ||
            (target->kind == NGX_SANDBOX_TARGET_TENANT) != (target->name[0] == '\0') ||
            strchr(target->name, '/') != NULL) {
            abort();
        }
    }
    if (change->doc != NULL) {
        const struct sbx_policy *said = sbx_policy_doc_said(change->doc);

        if (said->version != change->version || strncmp(said->id, change->id, sizeof(said->id) - 1) != 0) {
            abort();
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t after = size > 0 ? data[0] : 0;
    struct sbx_field_error err = { 0 };
    struct ngx_sandbox_feed *feed = NULL;
    uint64_t last = after;
    unsigned i;
    int rc;

    rc = ngx_sandbox_feed_read(&feed, (const char *)data + (size > 0), size - (size > 0), after, &err);
    if ((rc == 0) != (feed != NULL) || rc < 0 || (rc > 0 && err.message[0] == '\0')) {
        abort();
    }
    for (i = 0; feed != NULL && i < feed->n_changes; i++) {
        const struct ngx_sandbox_change *change = &feed->change[i];

        if (change->revision <= last || change->revision > feed->revision || feed->reset ||
            !sbx_name_valid(change->tenant, strlen(change->tenant)) ||
            !sbx_name_valid(change->id, strlen(change->id))) {
            abort();
        }
        last = change->revision;
        if (change->kind == NGX_SANDBOX_POLICY_SET) {
            check_policy(change);
        }
    }
    if (feed != NULL && !feed->complete && !feed->reset && feed->n_changes == 0) {
        abort();
    }
    feed = ngx_sandbox_feed_free(feed);
    return 0;
}
