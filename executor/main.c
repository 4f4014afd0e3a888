#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "executor/check_host.h"
#include "executor/config.h"
#include "executor/daemon.h"
#include "executor/log.h"
#include "executor/store/audit_verify.h"

#define VERSION "0.1.0"

enum { EXIT_FINE = 0, EXIT_BROKEN = 1, EXIT_USAGE = 2 };

struct options {
    const char *config_file;
    const char *audit_dir;
    bool check;
    bool audit_verify;
    bool check_host;
    bool json;
};

static void
print_help(FILE *out)
{
    (void)fputs(
        "usage: executord [--config FILE] [--check-config]\n"
        "       executord audit verify [--dir DIR] [--config FILE]\n"
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

/* EXIT_FINE with *ret_done set when there is nothing left to do. */
static int
parse_options(struct options *ret, int argc, char **argv, bool *ret_done)
{
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' },
        { "check-config", no_argument, NULL, 'k' },
        { "dir", required_argument, NULL, 'd' },
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
            ret->audit_dir = optarg;
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
    if (optind == argc) {
        return EXIT_FINE;
    }
    if (argc - optind == 1 && strcmp(argv[optind], "check-host") == 0) {
        ret->check_host = true;
        return EXIT_FINE;
    }
    if (argc - optind != 2 || strcmp(argv[optind], "audit") != 0 || strcmp(argv[optind + 1], "verify") != 0) {
        return usage("there is no such command");
    }
    ret->audit_verify = true;
    return EXIT_FINE;
}

static int
verify(const char *dir, const char *database)
{
    struct audit_report report;
    int r;

    r = audit_verify(dir, database, &report);
    if (r < 0) {
        (void)fprintf(stderr, "executord: audit log in %s: %s: %s\n", dir, report.detail,
                      strerror(-r)); /* nowhere else to say it */
        return EXIT_USAGE;
    }
    if (r == 0) {
        printf("ok: %llu events in %llu segments%s; last %llu %s\n", (unsigned long long)report.lines,
               (unsigned long long)report.segments, report.has_index ? ", as the index says" : "",
               (unsigned long long)report.head.seq, report.head.hash);
        return EXIT_FINE;
    }
    printf("%s: %s", audit_fault_name(report.fault), report.file);
    if (report.line > 0) {
        printf(" line %llu", (unsigned long long)report.line);
    }
    printf(", event %llu: %s (%llu events before it are in order)\n", (unsigned long long)report.seq,
           report.detail, (unsigned long long)report.lines);
    return EXIT_BROKEN;
}

static int
run(const struct options *options, const struct config *config)
{
    int r;

    if (options->audit_verify) {
        return verify(options->audit_dir != NULL ? options->audit_dir : config->audit_dir,
                      config->database_url);
    }
    if (options->check_host) {
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
    if (options.audit_dir != NULL && !options.audit_verify) {
        return usage("--dir belongs to audit verify");
    }
    if (options.json && !options.check_host) {
        return usage("--json belongs to check-host");
    }
    if (options.check && (options.check_host || options.audit_verify)) {
        return usage("--check-config belongs to no command");
    }
    if (options.audit_dir == NULL || options.config_file != NULL) {
        r = config_load(&config, options.config_file, environ, error);
        if (r) {
            (void)fprintf(stderr, "executord: %s\n",
                          r > 0 ? error : strerror(-r)); /* nowhere else to say it */
            return EXIT_USAGE;
        }
    }
    return run(&options, &config);
}
