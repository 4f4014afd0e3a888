/* Audit events of what a command is sent: signals, and input by its size and digest. */
#include "executor/api/process_call.h"
#include "executor/core/audit.h"

void
process_input_add(struct process_input *input, const char *data, size_t len)
{
    if (len == 0) {
        return;
    }
    if (input->bytes == 0 && sbx_sha256_new(&input->sha256) != 0) {
        input->sha256 = NULL; /* the event has no digest then */
    }
    input->bytes += len;
    if (input->sha256 != NULL && sbx_sha256_update(input->sha256, data, len) != 0) {
        input->sha256 = sbx_sha256_free(input->sha256);
    }
}

void
process_audit_input(struct db *db, const struct sbx_context *context, const struct command *command,
                    struct process_input *input)
{
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX] = "";
    struct audit_member members[] = { { .key = "session", .text = command->session_id.text },
                                      { .key = "bytes", .number = input->bytes },
                                      { .key = "sha256", .text = hex } };

    if (input->bytes == 0 && !input->ended) {
        return;
    }
    if (input->sha256 != NULL && sbx_sha256_final(input->sha256, digest) == 0) {
        sbx_hex(hex, digest, sizeof(digest));
    }
    audit_act_submit(db, &(struct audit_act){
                             .context = context,
                             .kind = "process.stdin",
                             .object = command->id.text,
                             .members = members,
                             .n_members = hex[0] == '\0' ? 2 : 3,
                         });
    process_input_deinit(input);
}

void
process_input_deinit(struct process_input *input)
{
    sbx_sha256_free(input->sha256);
    *input = (struct process_input){ 0 };
}

void
process_audit_signal(struct db *db, const struct sbx_context *context, const struct command *command,
                     const char *signal)
{
    const struct audit_member members[] = { { .key = "session", .text = command->session_id.text },
                                            { .key = "signal", .text = signal } };

    audit_act_submit(db, &(struct audit_act){
                             .context = context,
                             .kind = "process.signalled",
                             .object = command->id.text,
                             .members = members,
                             .n_members = SBX_COUNT(members),
                         });
}
