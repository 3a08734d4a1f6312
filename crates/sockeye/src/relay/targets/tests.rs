use std::cell::{Cell, RefCell};

use super::*;

/// Targets that are `a`, `b` and so on, of which some are down.
struct TargetWorld {
    targets: Targets,
    down: RefCell<String>,
    tried: RefCell<String>,
}

impl TargetWorld {
    fn new(names: &str, down: &str) -> Self {
        let address = |name: char| name.to_string().parse().unwrap();
        Self {
            targets: Targets::new(names.chars().map(address)).unwrap(),
            down: RefCell::new(down.to_owned()),
            tried: RefCell::default(),
        }
    }

    async fn attempt(
        &self,
        address: &RelayAddress,
        kind: TargetErrorKind,
    ) -> Result<(), TargetError> {
        self.tried.borrow_mut().push_str(&address.to_string());
        tokio::task::yield_now().await;
        if self.down.borrow().contains(&address.to_string()) {
            Err(TargetError::new(address, kind))
        } else {
            Ok(())
        }
    }

    async fn connect_or(&self, connector: &Connector, kind: fn() -> TargetErrorKind) -> String {
        self.tried.take();
        let attempt = |_, address| self.attempt(address, kind());
        match self.targets.connect_with(connector, attempt).await {
            Ok((address, ())) => {
                let tried = self.tried.take();
                assert!(tried.ends_with(&address.to_string()));
                tried
            }
            Err(error) => {
                let named = error.errors().iter();
                let named: String = named.map(|error| error.address().to_string()).collect();
                assert!(self.tried.borrow().ends_with(&named));
                format!("{}!", self.tried.take())
            }
        }
    }

    /// The targets that were tried for one client, with `!` if none was connected to.
    async fn connect(&self) -> String {
        self.connect_or(&Connector::new(), || TargetErrorKind::NobodyListens)
            .await
    }
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn targets_take_turns() {
    let world = TargetWorld::new("abc", "");
    for expected in ["a", "b", "c", "a"] {
        assert_eq!(world.connect().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_target_is_set_aside_and_its_clients_go_to_all_others() {
    let world = TargetWorld::new("abc", "b");
    for expected in ["a", "bc", "a", "c", "a", "c"] {
        assert_eq!(world.connect().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_is_tried_again_by_one_client_after_a_time_that_doubles() {
    let world = TargetWorld::new("ab", "a");
    assert_eq!(world.connect().await, "ab");
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        for _ in 0..3 {
            assert_eq!(world.connect().await, "b");
        }
        pass(seconds - 1).await;
        assert_eq!(world.connect().await, "b");
        pass(1).await;
        assert_eq!(world.connect().await, "ab");
    }
    world.down.take();
    pass(30).await;
    for expected in ["a", "b", "a", "b"] {
        assert_eq!(world.connect().await, expected);
    }
    // And from the first pause again.
    world.down.replace("a".to_owned());
    assert_eq!(world.connect().await, "ab");
    pass(1).await;
    assert_eq!(world.connect().await, "ab");
}

#[tokio::test(start_paused = true)]
async fn targets_that_are_all_set_aside_are_all_tried_in_order() {
    let world = TargetWorld::new("abc", "abc");
    assert_eq!(world.connect().await, "abc!");
    assert_eq!(world.connect().await, "abc!");
    world.down.replace("ab".to_owned());
    assert_eq!(world.connect().await, "abc");
    assert_eq!(world.connect().await, "c", "the others are set aside still");
    world.down.replace("c".to_owned());
    assert_eq!(world.connect().await, "ca", "and tried where it fails");
    assert_eq!(world.connect().await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_denied_client_sets_no_target_aside() {
    let world = TargetWorld::new("ab", "a");
    for expected in ["ab", "ab"] {
        let denied = || TargetErrorKind::Denied;
        assert_eq!(world.connect_or(&Connector::new(), denied).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_at_the_same_time_share_the_turns() {
    let world = TargetWorld::new("abc", "a");
    let connector = Connector::new();
    let client = |()| {
        let attempt = |_, address| world.attempt(address, TargetErrorKind::NobodyListens);
        world.targets.connect_with(&connector, attempt)
    };
    let clients = [(); 6].map(client);
    let used = futures_util::future::join_all(clients).await;
    let used: Vec<_> = used
        .into_iter()
        .map(|used| used.unwrap().0.to_string())
        .collect();
    assert_eq!(used, ["b", "b", "c", "c", "b", "c"]);
    assert_eq!(world.tried.take(), "abcabcbc", "each tries in its turn");
}

#[tokio::test(start_paused = true)]
async fn several_targets_are_waited_for_together() {
    let world = TargetWorld::new("ab", "ab");
    let connector = Connector::new().wait_for(Duration::from_secs(5));
    let rounds = Cell::new(0);
    let attempt = |connector: Connector, address| {
        assert!(
            connector.wait_for.is_zero(),
            "one does not hold up the others"
        );
        rounds.set(rounds.get() + 1);
        if rounds.get() > 5 {
            world.down.take();
        }
        world.attempt(address, TargetErrorKind::NobodyListens)
    };
    let (address, ()) = world
        .targets
        .connect_with(&connector, attempt)
        .await
        .unwrap();
    assert_eq!((address.to_string().as_str(), rounds.get()), ("b", 6));

    world.down.replace("ab".to_owned());
    let attempt = |_, address| world.attempt(address, TargetErrorKind::NobodyListens);
    let error = world.targets.connect_with(&connector, attempt).await;
    let error = error.unwrap_err();
    assert_eq!(error.errors().len(), 2);
    for error in error.errors() {
        assert_eq!(error.waited(), Some(Duration::from_secs(5)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_names_each_target_on_one_line() {
    let world = TargetWorld::new("ab", "ab");
    let attempt = |_, address| world.attempt(address, TargetErrorKind::NobodyListens);
    let error = world.targets.connect_with(&Connector::new(), attempt).await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("no target can be connected to: cannot connect to a: "),
        "{text}"
    );
    assert!(text.contains("; cannot connect to b: "), "{text}");
    assert_eq!(text.lines().count(), 1);

    let only = TargetWorld::new("a", "a");
    let attempt = |_, address| only.attempt(address, TargetErrorKind::NobodyListens);
    let error = only.targets.connect_with(&Connector::new(), attempt).await;
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("cannot connect to a: "), "{text}");
}

#[test]
fn there_is_at_least_one_target() {
    assert!(Targets::new([]).is_none());
}
