/* What says what is done to a command: control documents, a request for one, the agent's word of it, a handshake's key. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/process_request.h"
#include "executor/net/websocket.h"
#include "executor/runtime/command_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char accept[WEBSOCKET_ACCEPT_LEN + 1], key[64];
    const char *text = size > 0 ? (const char *)data : "";
    struct process_request request = { 0 };
    struct process_control control;
    struct command_reply_end end;
    struct sbx_field_error err;
    struct command_size side;
    unsigned pid = 0;

    if (process_control_parse(&control, text, size, &err) == 0 &&
        (control.signal != NULL) + control.has_size + control.eof != 1) {
        abort();
    }
    if (process_size_parse(&side, text, size, &err) == 0 && (side.rows - 1 > 999 || side.cols - 1 > 999)) {
        abort();
    }
    if (process_request_parse(&request, text, size, &err) == 0 &&
        (request.ask.n_argv > 0) == (request.ask.shell != NULL)) {
        abort();
    }
    process_request_deinit(&request);
    if (command_reply_end(&end, text, size) == 0 && end.ok && end.has_exit_code == (end.signal[0] != '\0')) {
        abort();
    }
    if (command_reply_started(&pid, text, size) == 0 && pid == 0) {
        abort();
    }
    if (size < sizeof(key)) {
        memcpy(key, text, size);
        key[size] = '\0';
        if (websocket_accept(accept, key) && strlen(accept) != WEBSOCKET_ACCEPT_LEN) {
            abort();
        }
    }
    return 0;
}
