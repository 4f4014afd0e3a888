#!/usr/bin/perl
# The gateway's denial log becomes part of the audit chain, each line exactly once.
use strict;
use warnings;
use lib 't/lib';
use JSON::PP;
use Sandbox;
use Sandbox::Context;
use Test::More;

my $t = Sandbox->new(executor => { 'pool.default' => 0 });
my $file = "$t->{dir}/data/denials/denials.jsonl";
my $n = 0;
sub line { $n++; return encode_json({ time => '2026-01-02T03:04:05.678Z', event => 'gateway.denial', request_id => "req_$n", tenant => 'acme', code => 'rate_limited', rule => 'rate.tenant', limit => 5, observed => 6, @_ }) . "\n" }
sub append { my ($text, $path) = @_; open my $out, '>>', $path // $file or die $!; syswrite $out, $text; close $out }
sub denied {
    return map { my $event = decode_json($_); $event->{kind} eq 'request.denied' ? $event : () } $t->audit_lines;
}
sub arrives { my ($want) = @_; return $t->wait_until(30, sub { scalar(my @all = denied()) >= $want }) }

append(line() . line());
$t->start_launcher->start_executor;
ok(arrives(2), 'what was there before the start is taken');
my ($first) = denied();
is($first->{tenant}, 'acme', 'tenant');
is($first->{request_id}, 'req_1', 'request id');
is($first->{decision}, 'deny', 'decision');
is_deeply($first->{body}, { source => 'edge', time => '2026-01-02T03:04:05.678Z', event => 'gateway.denial', code => 'rate_limited', rule => 'rate.tenant', limit => 5, observed => 6 }, 'the rest as it was');

my $half = line();
append(substr $half, 0, 20);
select undef, undef, undef, 0.6;
is(scalar(my @two = denied()), 2, 'half a line is not taken');
append(substr $half, 20);
ok(arrives(3), 'its rest makes it one');

append("not json\n{}\n[1]\n" . encode_json({ tenant => '../x', request_id => "a\nb" }) . "\n" . "\xff\xfe\n" . '{"a":1,"a":2}' . "\n\n");
ok(arrives(9), 'nonsense is on record too');
my @bad = (denied())[3 .. 8];
is(scalar(grep { $_->{tenant} eq '-' } @bad), 6, "with nobody's tenant");
is(scalar(grep { $_->{body}{malformed} } @bad), 4, 'and marked');
append(('x' x 200_000) . "\n" . line());
ok($t->wait_until(30, sub { ((denied())[-1]{request_id} // '') eq "req_$n" }), 'a line longer than any buffer does not stop those after it');
my $before = scalar(my @now = denied());
is($before, 11, 'and is one event');

append(join '', map { line() } 1 .. 1000);
ok(arrives($before + 1000), 'a thousand at once');

is($t->stop('executor'), 0, 'stop');
append(line() . line());
$t->start_executor;
ok(arrives($before + 1002), 'what came meanwhile is taken');
for (1 .. 3) {
    append(join '', map { line() } 1 .. 300);
    $t->kill9('executor');
    $t->start_executor;
}
ok(arrives($before + 1902), 'kill -9 in the middle loses none');

# Rotation by rename, while it runs and while it does not.
append(line());
rename $file, "$file.1";
append(line(), "$file.1");
append(line());
ok(arrives($before + 1905), 'a rotated file is read to its end, then the new one');
$t->stop('executor');
append(line());
rename $file, "$file.1";
append(line());
$t->start_executor;
ok(arrives($before + 1907), 'rotated while it was away');
unlink $file;
append(line());
ok(arrives($before + 1908), 'a new file in place of a removed one');

my %seen;
$seen{ $_->{request_id} // '' }++ for denied();
is(scalar(grep { /^req_/ } keys %seen), $n, 'every line is there');
is_deeply([grep { /^req_/ && $seen{$_} != 1 } keys %seen], [], 'none twice');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the audit chain holds') or diag $said;
delete $t->{killed};
$t->finish;
done_testing();
