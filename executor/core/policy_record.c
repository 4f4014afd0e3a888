#include "executor/core/policy_record.h"

#include <stdlib.h>
#include <string.h>

#include "executor/core/rows.h"
#include "executor/store/stmts.h"

static const char *const kind_names[POLICY_N_TARGET_KINDS] = {
    [POLICY_TARGET_TENANT] = "tenant",
    [POLICY_TARGET_APP] = "app",
    [POLICY_TARGET_AGENT] = "agent",
    [POLICY_TARGET_TEMPLATE] = "template",
};

void
policy_record_deinit(struct policy_record *record)
{
    free(record->name);
    free(record->description);
    free(record->message);
    free(record->document);
    *record = (struct policy_record){ 0 };
}

struct policy_record *
policy_record_free(struct policy_record *record)
{
    if (record != NULL) {
        policy_record_deinit(record);
        free(record);
    }
    return NULL;
}

const char *
policy_target_kind_name(enum policy_target_kind kind)
{
    return (unsigned)kind < POLICY_N_TARGET_KINDS ? kind_names[kind] : "";
}

bool
policy_target_parse(struct policy_target *ret, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);
    const size_t kind_len = colon == NULL ? len : (size_t)(colon - text);
    const size_t name_len = colon == NULL ? 0 : len - kind_len - 1;

    for (unsigned i = 0; i < POLICY_N_TARGET_KINDS; i++) {
        if (strlen(kind_names[i]) != kind_len || memcmp(kind_names[i], text, kind_len) != 0) {
            continue;
        }
        *ret = (struct policy_target){ .kind = (enum policy_target_kind)i };
        if (i == POLICY_TARGET_TENANT) {
            return colon == NULL;
        }
        if (colon == NULL || !(i == POLICY_TARGET_TEMPLATE ? sbx_policy_name_valid(colon + 1, name_len)
                                                           : sbx_name_valid(colon + 1, name_len))) {
            return false;
        }
        memcpy(ret->name, colon + 1, name_len);
        return true;
    }
    return false;
}

bool
policy_target_equal(const struct policy_target *a, const struct policy_target *b)
{
    return a->kind == b->kind && strcmp(a->name, b->name) == 0;
}

/* Neither a colon nor a space is in a name. */
void
policy_targets_text(struct sbx_buf *out, const struct policy_record *record)
{
    for (unsigned i = 0; i < record->n_targets; i++) {
        const struct policy_target *target = &record->target[i];

        sbx_buf_puts(out, i == 0 ? "" : " ");
        sbx_buf_puts(out, policy_target_kind_name(target->kind));
        if (target->kind != POLICY_TARGET_TENANT) {
            sbx_buf_putc(out, ':');
            sbx_buf_puts(out, target->name);
        }
    }
}

int
policy_targets_load(struct policy_target target[POLICY_TARGETS_MAX], unsigned *ret_n, const char *text)
{
    *ret_n = 0;
    while (*text != '\0') {
        const size_t len = strcspn(text, " ");

        if (*ret_n == POLICY_TARGETS_MAX || !policy_target_parse(&target[*ret_n], text, len)) {
            return -EINVAL;
        }
        (*ret_n)++;
        text += len;
        text += *text == ' ' ? 1 : 0;
    }
    return 0;
}

void
policy_targets_write(struct sbx_jsonw *w, const char *key, const struct policy_target *target, unsigned n)
{
    sbx_jsonw_array(w, key);
    for (unsigned i = 0; i < n; i++) {
        sbx_jsonw_object(w, NULL);
        if (target[i].kind == POLICY_TARGET_TENANT) {
            sbx_jsonw_bool(w, "tenant", true);
        } else {
            sbx_jsonw_str(w, policy_target_kind_name(target[i].kind), target[i].name);
        }
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}

int
policy_record_load(struct policy_record *ret, const char *tenant, const struct db_result *result,
                   unsigned row)
{
    const struct db_value *at = db_at(result, row, 0);
    char targets[POLICY_TARGETS_TEXT_MAX + 1];
    const size_t tenant_len = strlen(tenant);
    int r = tenant_len < sizeof(ret->tenant) ? 0 : -EINVAL;

    *ret = (struct policy_record){ 0 };
    if (r == 0) {
        memcpy(ret->tenant, tenant, tenant_len + 1);
    }
    row_take_text(ret->id.text, sizeof(ret->id.text), &at[DB_POLICY_ID], &r);
    row_take_text(ret->updated_by, sizeof(ret->updated_by), &at[DB_POLICY_UPDATED_BY], &r);
    row_take_text(ret->sha256, sizeof(ret->sha256), &at[DB_POLICY_SHA256], &r);
    row_take_text(targets, sizeof(targets), &at[DB_POLICY_APPLIES_TO], &r);
    row_take_copy(&ret->name, &at[DB_POLICY_NAME], &r);
    row_take_copy(&ret->message, &at[DB_POLICY_MESSAGE], &r);
    row_take_copy(&ret->description, &at[DB_POLICY_DESCRIPTION], &r);
    row_take_copy(&ret->document, &at[DB_POLICY_DOCUMENT], &r);
    ret->version = (uint32_t)row_take_number(&at[DB_POLICY_VERSION]);
    ret->created_ms = row_take_number(&at[DB_POLICY_CREATED_MS]);
    ret->updated_ms = row_take_number(&at[DB_POLICY_UPDATED_MS]);
    return r ? r : policy_targets_load(ret->target, &ret->n_targets, targets);
}
