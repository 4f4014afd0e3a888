/* Hostile answers of an agent: whatever is accepted must keep the promises of agent_reply.h. */
#include "executor/runtime/agent_reply.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct runtime_outcome *outcome, const struct agent_reply_rules *rules)
{
    struct sbx_field_error err;
    uint64_t total = 0;
    json_t *json;

    assert(outcome->exited == (outcome->signal[0] == '\0'));
    assert(outcome->exit_code >= 0 && outcome->exit_code <= 255);
    assert(outcome->n_artifacts <= rules->max_artifacts);
    for (unsigned i = 0; i < outcome->n_artifacts; i++) {
        const char *path = outcome->artifacts[i].path;

        assert(agent_reply_path_valid(path, strlen(path)));
        total += outcome->artifacts[i].size;
    }
    assert(total <= rules->max_artifact_bytes);
    if (outcome->result_json != NULL) {
        assert(outcome->result_error[0] == '\0');
        assert(strlen(outcome->result_json) == outcome->result_len);
        assert(sbx_json_parse(&json, outcome->result_json, outcome->result_len, &err) == 0);
        json_decref(json);
    }
    if (outcome->skipped_json != NULL) {
        assert(sbx_json_parse(&json, outcome->skipped_json, strlen(outcome->skipped_json), &err) == 0);
        json_decref(json);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct agent_reply_rules rules = { .step_id = "s",
                                             .max_artifacts = 8,
                                             .max_artifact_bytes = 1u << 20 };
    struct runtime_outcome outcome = { 0 };
    struct sbx_field_error err;
    char message[64];

    if (agent_reply_step(&outcome, (const char *)data, size, &rules, &err) == 0) {
        check(&outcome, &rules);
    }
    runtime_outcome_deinit(&outcome);
    agent_reply_refusal(message, sizeof(message), (const char *)data, size);
    assert(strlen(message) < sizeof(message) && message[0] != '\0');
    (void)agent_reply_health((const char *)data, size); /* only that it ends */
    return 0;
}
