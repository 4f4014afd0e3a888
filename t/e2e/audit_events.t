#!/usr/bin/perl
# Through the gateway: each thing that was done has its event, once, with the token, the address, the trace and the policy.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP;
use Sandbox;
use Test::More;

my $t = Sandbox->new;
$t->start;
my $trace = '4bf92f3577b34da6a3ce929d0e0e4736';
my $token = $t->token(sub => 'anna', jti => 'jti-e2e-1', tenant => 'acme');
my %expect;
sub ask {
    my ($kinds, $method, $path, %option) = @_;
    my $r = $t->request($method, $path, token => $token, %option, headers => { traceparent => "00-$trace-00f067aa0ba902b7-01" });
    like($r->{status}, qr/^20/, "$method $path") or diag $r->{content};
    $expect{$_}++ for @$kinds;
    return $r;
}
my $job = ask([qw(job.accepted job.started job.finished)], 'POST', '/v1/jobs', json => { language => 'bash', code => 'echo SECRET-output # SECRET-code', env => { KEY => 'SECRET-env' } })->{json};
ask(['output.read'], 'GET', "/v1/jobs/$job->{job_id}/stdout");
my $at = '/v1/sessions/' . ask([qw(session.created session.started)], 'POST', '/v1/sessions', json => { language => 'bash' })->{json}{session_id};
ask([qw(step.accepted step.started step.ended)], 'POST', "$at/steps", json => { code => 'echo SECRET-output' });
ask(['file.uploaded'], 'PUT', "$at/files/a.txt", body => 'SECRET-content');
ask(['file.read'], 'GET', "$at/files/a.txt");
ask(['session.ended'], 'DELETE', $at);
my $made = ask(['artifact.uploaded'], 'POST', '/v1/artifacts?name=a.bin', body => 'SECRET-content')->{json};
my $url = ask(['artifact.url_made'], 'POST', "/v1/artifacts/$made->{artifact_id}/url", json => {})->{json}{url} =~ s{^https?://[^/]+}{}r;
is($t->request('GET', $url, anonymous => 1)->{status}, 200, 'a stranger reads it');
$expect{'artifact.read'}++;

my $n = 0;
$n += $_ for values %expect;
my @events;
$t->wait_until(30, sub { @events = grep { $_->{tenant} eq 'acme' && $_->{kind} ne 'session.used' } map { decode_json($_) } $t->audit_lines; @events >= $n });
my %got;
$got{ $_->{kind} }++ for @events;
is_deeply(\%got, \%expect, 'each thing has its event, once');
my @wrong;
for my $event (grep { $_->{kind} ne 'artifact.read' } @events) {
    my $body = $event->{body};
    push @wrong, "$event->{kind}: $_" for grep { ($body->{$_} // '') ne { app => 'web', agent => 'coder', subject => 'anna', token_id => 'jti-e2e-1', client => '127.0.0.1', trace => $trace }->{$_} } qw(app agent subject token_id client trace);
    push @wrong, "$event->{kind}: policy" if !$body->{policy}{id};
}
is_deeply(\@wrong, [], 'with who, from where, by which token, in which trace, under which policy');
my ($read) = grep { $_->{kind} eq 'artifact.read' } @events;
is($read->{body}{client}, '127.0.0.1', 'who used the URL is known by his address') or diag explain $read;
my $log = join '', map { Sandbox::_slurp($_) } glob "$t->{dir}/data/audit/audit-*.jsonl";
unlike($log, qr/SECRET-|\Q$token\E/, 'no code, output, content, environment or token');
my ($fine, $said) = $t->audit_verify;
ok($fine, 'the log verifies') or diag $said;
$t->finish;
done_testing();
