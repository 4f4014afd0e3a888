/* Audit events of commands in sessions: what was run is told by digest, as code is. */
#include <string.h>

#include "executor/core/audit_command.h"
#include "executor/core/audit_inside.h"
#include "executor/core/usage.h"

static void
write_what(struct sbx_jsonw *w, const struct command *command)
{
    sbx_jsonw_str(w, "session", command->session_id.text);
    sbx_jsonw_uint(w, "command_bytes", strlen(command->what_json));
    audit_write_digest(w, "command_sha256", command->what_json, strlen(command->what_json));
}

static void
event_add(struct db_tx *tx, struct audit_event *event, const struct command *command, const char *tenant,
          const char *kind, const char *decision)
{
    audit_event_end(event, tx,
                    &(struct db_audit){
                        .tenant = tenant,
                        .kind = kind,
                        .object = command->id.text,
                        .request_id = command->request_id,
                        .decision = decision,
                        .keep_ms = command->means.keep_ms,
                    });
}

void
audit_process_started(struct db_tx *tx, const struct command *command, const char *tenant)
{
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, command->app, command->agent, command->subject);
    audit_write_means(&event.w, &command->means);
    audit_write_network(&event.w);
    write_what(&event.w, command);
    sbx_jsonw_bool(&event.w, "pty", command->has_terminal);
    event_add(tx, &event, command, tenant, "process.started", "allow");
}

void
audit_process_ended(struct db_tx *tx, const struct command *command, const char *tenant)
{
    const struct command_reply_end *end = &command->end;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, command->app, command->agent, command->subject);
    audit_write_means(&event.w, &command->means);
    audit_write_network(&event.w);
    write_what(&event.w, command);
    if (end->has_exit_code) {
        sbx_jsonw_int(&event.w, "exit_code", end->exit_code);
    }
    if (end->signal[0] != '\0') {
        sbx_jsonw_str(&event.w, "signal", end->signal);
    }
    sbx_jsonw_uint(&event.w, "stdout_bytes", command->bytes[0]);
    sbx_jsonw_uint(&event.w, "stderr_bytes", command->bytes[1]);
    usage_account(tx, &event.w,
                  &(struct usage_owner){ .tenant = tenant, .app = command->app, .agent = command->agent },
                  &(struct usage){
                      .processes = 1, .stdout_bytes = command->bytes[0], .stderr_bytes = command->bytes[1] });
    event_add(tx, &event, command, tenant, "process.ended", command_state_name(command->state));
}
