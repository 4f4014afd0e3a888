/* What tenants ask of policies and revocations, and times as they write them. What is taken is within its bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/policy_diff.h"
#include "executor/api/policy_request.h"
#include "executor/api/revocation_request.h"
#include "lib/sbx_time.h"

#define NOW_MS UINT64_C(1795305855123)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fine(bool held)
{
    if (!held) {
        abort();
    }
}

/* A version that was taken is stored, and read again to be compared and taken up. */
static void
whole(struct policy_request *request)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf patch = SBX_BUF_INIT(4u << 20);
    _cleanup_(policy_record_deinitp) struct policy_record record = { 0 };
    const struct policy_record nothing = { 0 };
    struct sbx_field_error err = { 0 };
    struct sbx_jsonw w;

    memcpy(record.id.text, "pol_01m7yep0vh3nhv2pk7vh28r48r", SBX_ID_LEN + 1);
    memcpy(record.target, request->target, sizeof(record.target));
    record.n_targets = request->n_targets;
    record.version = 1;
    fine(request->name != NULL && strlen(request->name) <= POLICY_NAME_MAX && request->document != NULL);
    if (policy_request_document(&record, request->document, &err) != 0) {
        fine(err.message[0] != '\0');
        return;
    }
    fine(record.document != NULL && strlen(record.document) <= POLICY_DOCUMENT_MAX);
    record.name = strdup(request->name);
    sbx_jsonw_init(&w, &patch);
    sbx_jsonw_object(&w, NULL);
    fine(record.name != NULL && policy_diff_write(&w, "patch", &nothing, &record) == 0);
    sbx_jsonw_object_end(&w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum policy_request_kind kinds[] = { POLICY_REQUEST_WHOLE, POLICY_REQUEST_TARGETS,
                                                      POLICY_REQUEST_ROLLBACK };
    const char *text = size > 0 ? (const char *)data : "";
    struct revocation revocation = { 0 };
    struct sbx_field_error err;
    uint64_t ms = 0;

    for (size_t i = 0; i < SBX_COUNT(kinds); i++) {
        struct policy_request request;
        const int r = policy_request_parse(&request, kinds[i], text, size, &err);

        fine(r == 0 || err.message[0] != '\0');
        fine(r != 0 || request.n_targets <= POLICY_TARGETS_MAX);
        fine(r != 0 || kinds[i] != POLICY_REQUEST_ROLLBACK || request.version > 0);
        if (r == 0 && kinds[i] == POLICY_REQUEST_WHOLE) {
            whole(&request);
        }
        policy_request_deinit(&request);
    }
    if (revocation_request_parse(&revocation, text, size, NOW_MS, &err) == 0) {
        fine(revocation.token_id[0] == '\0' || revocation.revoked_subject[0] == '\0');
        fine(revocation.expires_ms > NOW_MS && revocation.expires_ms <= NOW_MS + REVOCATION_LIFE_MAX_MS);
        fine(revocation.issued_before_s <= (NOW_MS + REVOCATION_SKEW_MS) / 1000 + 1);
    }
    if (sbx_rfc3339_parse(text, size, &ms)) {
        fine(ms < UINT64_C(253402387200000));
    }
    return 0;
}
