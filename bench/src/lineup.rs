//! Who takes part in which measurement, and who cannot.

use crate::args::Part;
use crate::client::Answer;
use crate::contest::Arena;
use crate::peer::Peer;
use crate::server::Server;
use crate::tools::Tools;

pub(crate) struct Lineup {
    pub(crate) peers: Vec<Peer>,
    /// Names, and why they are not among the peers.
    pub(crate) missing: Vec<(String, String)>,
}

/// Idle connections are to cost less than this, in bytes.
const IDLE_GOAL: f64 = 1024.0;

impl Lineup {
    /// Everybody who could take part.
    pub(crate) fn of(part: Part, tools: &Tools) -> Self {
        let sockeye_echo =
            |name| Peer::new(name, &tools.sockeye, Answer::Echo).arguments(&["serve", "--echo"]);
        let sockeye_reply =
            |name| Peer::new(name, &tools.sockeye, Answer::Reply).arguments(&["serve"]);
        let tokio = Peer::new("tokio multi-thread", &tools.tokio_echo, Answer::Echo)
            .arguments(&["multi-thread"]);
        let tokio_single = Peer::new("tokio current-thread", &tools.tokio_echo, Answer::Echo)
            .arguments(&["current-thread"]);
        let mut missing = Vec::new();
        let mut peers = match part {
            Part::Echo => vec![
                sockeye_echo("sockeye").subject(),
                tokio.goal(1.15),
                tokio_single,
            ],
            Part::Connect => vec![sockeye_reply("sockeye").subject()],
            Part::Programs => vec![
                Peer::new("sockeye", &tools.sockeye, Answer::Echo)
                    .arguments(&["serve"])
                    .handler(&["--", "/bin/cat"])
                    .subject(),
                Peer::new("s6-ipcserver", "s6-ipcserver", Answer::Echo)
                    .handler(&["/bin/cat"])
                    .goal(1.0),
                Peer::new("socat", "sh", Answer::Echo)
                    .arguments(&["-c", "exec socat UNIX-LISTEN:$0,fork EXEC:/bin/cat"])
                    .goal(1.5),
            ],
            Part::Idle => vec![
                sockeye_reply("sockeye, default reply")
                    .subject()
                    .goal(IDLE_GOAL),
                sockeye_echo("sockeye --echo").goal(IDLE_GOAL),
                tokio,
            ],
        };
        if part == Part::Programs {
            match &tools.spawn_loop {
                Ok(program) => peers.push(
                    Peer::new("posix_spawn in C", program, Answer::Echo).handler(&["/bin/cat"]),
                ),
                Err(reason) => missing.push(("posix_spawn in C".to_owned(), reason.clone())),
            }
        }
        let floor = |program| Peer::new("epoll loop in C", program, Answer::Echo);
        match (&tools.epoll_echo, part) {
            (Ok(program), Part::Echo) => peers.push(floor(program).goal(1.0)),
            (Ok(program), Part::Connect) => peers.push(floor(program)),
            (Err(reason), Part::Echo | Part::Connect) => {
                missing.push(("epoll loop in C".to_owned(), reason.clone()));
            }
            _ => {}
        }
        match &tools.go {
            Ok(go) => peers.extend(match part {
                Part::Echo => vec![Peer::new("go", &go.echo, Answer::Echo).goal(1.7)],
                Part::Connect => vec![
                    Peer::new("go, one read", &go.once, Answer::Reply).goal(1.5),
                    Peer::new("go, thirty lines", &go.thirty_lines, Answer::Reply),
                ],
                Part::Programs => Vec::new(),
                Part::Idle => vec![Peer::new("go", &go.echo, Answer::Echo)],
            }),
            Err(_) if part == Part::Programs => {}
            Err(reason) => missing.push(("go".to_owned(), reason.clone())),
        }
        if part == Part::Connect {
            peers.push(sockeye_echo("sockeye --echo"));
        }
        Self { peers, missing }
    }

    /// Drops whoever gives no answer, before anybody's turn.
    pub(crate) fn try_out(mut self, arena: &Arena<'_>) -> anyhow::Result<Self> {
        let mut fit = Vec::new();
        for peer in self.peers {
            match Server::try_out(&peer, arena.directory, arena.stop) {
                Ok(()) => fit.push(peer),
                Err(error) => {
                    arena.stop.check()?;
                    let reason = format!("{error:#}");
                    self.missing.push((peer.name.to_owned(), reason));
                }
            }
        }
        self.peers = fit;
        Ok(self)
    }

    /// Whether the one that all others are compared with takes part.
    pub(crate) fn has_sockeye(&self) -> bool {
        self.peers.iter().any(|peer| peer.is_subject)
    }
}
