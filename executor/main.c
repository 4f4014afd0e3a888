#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "executor/audit_command.h"
#include "executor/check_host.h"
#include "executor/config.h"
#include "executor/daemon.h"
#include "executor/log.h"

#define VERSION "0.1.0"

enum command { COMMAND_RUN, COMMAND_VERIFY, COMMAND_KEYGEN, COMMAND_CHECK_HOST };

struct options {
    const char *config_file;
    const char *out;
    struct audit_command audit;
    enum command command;
    bool check;
    bool json;
};

static void
print_help(FILE *out)
{
    (void)fputs(
        "usage: executord [--config FILE] [--check-config]\n"
        "       executord audit verify [--dir DIR] [--public-key FILE]... [--config FILE]\n"
        "       executord audit keygen --out FILE\n"
        "       executord check-host [--json] [--config FILE]\n"
        "       executord --help | --version\n"
        "\n"
        "Runs jobs in sandboxes on behalf of the gateway.\n"
        "\n"
        "  --config FILE    lines of `section.key = value`; SANDBOX_<SECTION>_<KEY> in the "
        "environment overrides\n"
        "  --check-config   says whether the configuration holds, and ends\n"
        "  audit verify     walks the audit log and says whether it is what was written;\n"
        "                   exit status 0: it is, 1: it is not, 2: it could not be read\n"
        "  --dir DIR        of the audit log, instead of audit.dir\n"
        "  --public-key FILE  one that is believed, PEM: the log is checked up to the last head it signed\n"
        "  audit keygen     makes a key for audit.key_file; prints the public one\n"
        "  check-host       says which walls of a sandbox this host holds, and what to do about the others;\n"
        "                   exit status 0: all that are required, 1: not all, 3: no launcher to ask\n"
        "  --json           the same for a program\n"
        "\n"
        "SIGTERM and SIGINT end it when the running jobs have ended, a second one at once.\n"
        "SIGHUP opens log.file again.\n"
        "\n"
        "Keys:\n",
        out); /* stdout gone: nobody to tell */
    config_print_keys(out);
}

static int
usage(const char *what)
{
    (void)fprintf(stderr, "executord: %s; see executord --help\n", what); /* nowhere else to say it */
    return EXIT_USAGE;
}

static int
parse_command(struct options *ret, int n, char **words)
{
    static const struct {
        const char *first, *second;
        enum command command;
    } known[] = {
        { "check-host", NULL, COMMAND_CHECK_HOST },
        { "audit", "verify", COMMAND_VERIFY },
        { "audit", "keygen", COMMAND_KEYGEN },
    };

    if (n == 0) {
        return EXIT_FINE;
    }
    for (size_t i = 0; i < SBX_COUNT(known); i++) {
        if (n == (known[i].second == NULL ? 1 : 2) && strcmp(words[0], known[i].first) == 0 &&
            (n == 1 || strcmp(words[1], known[i].second) == 0)) {
            ret->command = known[i].command;
            return EXIT_FINE;
        }
    }
    return usage("there is no such command");
}

/* EXIT_FINE with *ret_done set when there is nothing left to do. */
static int
parse_options(struct options *ret, int argc, char **argv, bool *ret_done)
{
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' },
        { "check-config", no_argument, NULL, 'k' },
        { "dir", required_argument, NULL, 'd' },
        { "public-key", required_argument, NULL, 'p' },
        { "out", required_argument, NULL, 'o' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { "json", no_argument, NULL, 'j' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'c':
            ret->config_file = optarg;
            break;
        case 'k':
            ret->check = true;
            break;
        case 'j':
            ret->json = true;
            break;
        case 'd':
            ret->audit.dir = optarg;
            break;
        case 'p':
            if (ret->audit.n_public_keys == AUDIT_COMMAND_KEYS) {
                return usage("too many public keys");
            }
            ret->audit.public_keys[ret->audit.n_public_keys++] = optarg;
            break;
        case 'o':
            ret->out = optarg;
            break;
        case 'h':
            print_help(stdout);
            *ret_done = true;
            return EXIT_FINE;
        case 'v':
            puts("executord " VERSION);
            *ret_done = true;
            return EXIT_FINE;
        default:
            return EXIT_USAGE;
        }
    }
    return parse_command(ret, argc - optind, argv + optind);
}

static int
run(const struct options *options, const struct config *config)
{
    struct audit_command audit = options->audit;
    int r;

    if (options->command == COMMAND_VERIFY) {
        audit.dir = audit.dir != NULL ? audit.dir : config->audit_dir;
        audit.database = config->database_url;
        return audit_command_verify(&audit);
    }
    if (options->command == COMMAND_CHECK_HOST) {
        return check_host(config, options->json);
    }
    if (options->check) {
        if (!daemon_check(config)) {
            return EXIT_BROKEN;
        }
        puts("the configuration is valid");
        return EXIT_FINE;
    }
    r = log_open(config->log_file, config->log_level);
    if (r) {
        (void)fprintf(stderr, "executord: %s: %s\n", config->log_file,
                      strerror(-r)); /* nowhere else to say it */
        return EXIT_BROKEN;
    }
    return daemon_run(config);
}

/* EXIT_FINE, or what an option does here that belongs to another command. */
static int
check_options(const struct options *options)
{
    if ((options->audit.dir != NULL || options->audit.n_public_keys > 0) &&
        options->command != COMMAND_VERIFY) {
        return usage("--dir and --public-key belong to audit verify");
    }
    if ((options->out != NULL) != (options->command == COMMAND_KEYGEN)) {
        return usage("audit keygen needs --out, and nothing else has it");
    }
    if (options->json && options->command != COMMAND_CHECK_HOST) {
        return usage("--json belongs to check-host");
    }
    if (options->check && options->command != COMMAND_RUN) {
        return usage("--check-config belongs to no command");
    }
    return EXIT_FINE;
}

int
main(int argc, char **argv)
{
    _cleanup_(config_deinitp) struct config config = { 0 };
    struct options options = { 0 };
    char error[CONFIG_ERROR_LEN] = "";
    bool done = false;
    int r;

    r = parse_options(&options, argc, argv, &done);
    if (r != EXIT_FINE || done) {
        return r;
    }
    r = check_options(&options);
    if (r != EXIT_FINE) {
        return r;
    }
    if (options.command == COMMAND_KEYGEN) {
        return audit_command_keygen(options.out);
    }
    if (options.audit.dir == NULL || options.config_file != NULL) {
        r = config_load(&config, options.config_file, environ, error);
        if (r) {
            (void)fprintf(stderr, "executord: %s\n",
                          r > 0 ? error : strerror(-r)); /* nowhere else to say it */
            return EXIT_USAGE;
        }
    }
    return run(&options, &config);
}
