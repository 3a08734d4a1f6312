//! Which addresses and options go together; everything else is wrong usage.

use sockeye::Kind;
use sockeye::relay::FdPolicy;

use super::sides::{ClientSide, KINDS_THAT_FIT, Sides, TargetSide};
use crate::args::{CredentialsName, RelayArgs, TypedRelayAddress};
use crate::exit::{Exit, failure};

/// Checks the arguments and returns what is done with fds.
pub(super) fn check(args: &RelayArgs, sides: &Sides) -> anyhow::Result<FdPolicy> {
    check_kinds(args, sides)?;
    if let ClientSide::One(one) = &sides.client {
        one.check("relay", &args.listen_address.quoted())?;
    }
    if let TargetSide::One(address, one) = &sides.target {
        one.check("connect to", &address.quoted())?;
    }
    let listen = args.listen_address.quoted();
    args.listen.check_file(&listen, sides.client.has_file())?;
    if let Some((option, why)) = unused_option(args, sides) {
        return Err(cannot_relay(
            args,
            &format!(" with {option}: {why}; omit {option}"),
        ));
    }
    fd_policy(args, sides)
}

fn check_kinds(args: &RelayArgs, sides: &Sides) -> anyhow::Result<()> {
    if args.listen_address.is_stdio() && args.targets.iter().any(TypedRelayAddress::is_stdio) {
        let why = ": standard input and output are one side; give an address for the other one";
        return Err(cannot_relay(args, why));
    }
    let listen = args.listen_address.to_relay_address();
    if args
        .targets
        .iter()
        .any(|target| target.to_relay_address() == listen)
    {
        return Err(cannot_relay(
            args,
            ": that is the relay itself; give another TARGET",
        ));
    }
    let (client, target) = (sides.client.kind(), sides.target.kind());
    if client != target {
        let (client, target) = (describe(client), describe(target));
        let why = format!(": one side {client}, the other one {target}; {KINDS_THAT_FIT}");
        return Err(cannot_relay(args, &why));
    }
    if client == Kind::Datagram && matches!(sides.target, TargetSide::One(..)) {
        let why =
            ": each sender of datagrams gets a socket of its own; give a path or @name as TARGET";
        return Err(cannot_relay(args, why));
    }
    Ok(())
}

fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Stream => "is a stream",
        Kind::SeqPacket => "has records",
        Kind::Datagram => "has datagrams",
    }
}

/// An option without effect, and why it has none.
fn unused_option(args: &RelayArgs, sides: &Sides) -> Option<(&'static str, &'static str)> {
    let listen = &args.listen;
    let takes_credentials = args.credentials == CredentialsName::Client;
    let credentials = [
        ("--allow-user", !listen.allow_users.is_empty()),
        ("--allow-group", !listen.allow_groups.is_empty()),
        ("--max-per-uid", listen.max_per_uid.is_some()),
        ("--credentials client", takes_credentials),
    ];
    let several = [
        ("--allow-user", !listen.allow_users.is_empty()),
        ("--allow-group", !listen.allow_groups.is_empty()),
        ("--max-per-uid", listen.max_per_uid.is_some()),
        ("--max-connections", listen.max_connections.is_some()),
        ("--first-byte-timeout", listen.first_byte_timeout.is_some()),
        ("--idle-timeout", listen.idle_timeout.is_some()),
        ("--exit-idle", args.exit_idle.is_some()),
    ];
    let datagrams = [
        ("--takeover", listen.takeover),
        ("--max-per-uid", listen.max_per_uid.is_some()),
        ("--first-byte-timeout", listen.first_byte_timeout.is_some()),
        ("--half-close-timeout", args.half_close_timeout.is_some()),
        ("--once", listen.once),
        ("--exit-idle", args.exit_idle.is_some()),
        ("--wait", !args.wait.is_zero()),
    ];
    let given = |options: &[(&'static str, bool)]| {
        let found = options.iter().find(|(_, is_given)| *is_given);
        found.map(|(option, _)| *option)
    };
    let because = |why: &'static str| move |option: &'static str| (option, why);
    let client = &sides.client;
    let mut found = None;
    if matches!(client, ClientSide::One(_)) {
        found = given(&several).map(because("there is one client, and it is connected already"));
    }
    if !client.is_unix() {
        let why = "the clients have no peer credentials";
        found = found.or(given(&credentials).map(because(why)));
    }
    if takes_credentials && !sides.target.is_unix() {
        let why = "a target that is no UNIX socket sees no peer credentials";
        found = found.or(Some(("--credentials client", why)));
    }
    if client.kind() == Kind::Datagram {
        let why = "datagrams come without a connection";
        found = found.or(given(&datagrams).map(because(why)));
    }
    found
}

fn fd_policy(args: &RelayArgs, sides: &Sides) -> anyhow::Result<FdPolicy> {
    let can_pass = sides.client.is_unix() && sides.target.is_unix();
    match args.fds() {
        Some(FdPolicy::Pass) if !can_pass => Err(cannot_relay(
            args,
            " with --fds pass: file descriptors pass between UNIX sockets only; omit --fds",
        )),
        Some(policy) => Ok(policy),
        None if can_pass => Ok(FdPolicy::Pass),
        None => Ok(FdPolicy::Refuse),
    }
}

/// `why` continues the sentence.
fn cannot_relay(args: &RelayArgs, why: &str) -> anyhow::Error {
    let targets: Vec<String> = args.targets.iter().map(TypedRelayAddress::quoted).collect();
    failure(
        Exit::Usage,
        format!(
            "cannot relay {} to {}{why}",
            args.listen_address.quoted(),
            targets.join(" and ")
        ),
    )
}
