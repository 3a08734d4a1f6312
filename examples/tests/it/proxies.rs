//! nginx and HAProxy in front of `axum`.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::axum::started;
use crate::curl::curl;
use crate::support::{Place, Running, peer};

#[test]
fn nginx_proxies_to_axum() {
    let Some(nginx) = peer("nginx") else { return };
    assert_proxied(nginx, |place| {
        let at = |name: &str| place.at(name);
        fs::create_dir(at("temporary")).unwrap();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths = kinds.map(|kind| format!("{kind}_temp_path {};\n", at("temporary")));
        let configuration = format!(
            "daemon off; master_process off; pid {}; error_log stderr;\n\
             events {{}}\n\
             http {{ access_log off; {}\n\
             upstream app {{ server unix:{}; keepalive 4; }}\n\
             server {{ listen unix:{}; location / {{\n\
             proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n",
            at("pid"),
            paths.concat(),
            place.socket(),
            at("front.sock"),
        );
        fs::write(at("nginx.conf"), configuration).unwrap();
        vec!["-c".to_owned(), at("nginx.conf"), "-p".to_owned(), at("")]
    });
}

#[test]
fn haproxy_proxies_to_axum() {
    let Some(haproxy) = peer("haproxy") else {
        return;
    };
    assert_proxied(haproxy, |place| {
        let configuration = format!(
            "defaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 10s\n\
             frontend front\n bind unix@{}\n default_backend app\n\
             backend app\n server app unix@{}\n",
            place.at("front.sock"),
            place.socket(),
        );
        fs::write(place.at("haproxy.cfg"), configuration).unwrap();
        vec!["-db".to_owned(), "-f".to_owned(), place.at("haproxy.cfg")]
    });
}

/// `configure` writes the configuration of the proxy, and returns its arguments.
fn assert_proxied(mut proxy: Command, configure: impl Fn(&Place) -> Vec<String>) {
    let place = Place::new();
    let daemon = started(&place, &[]);
    let proxy = Running::start(proxy.args(configure(&place)));
    let front = place.at("front.sock");
    wait_for(&front);
    for _ in 0..20 {
        let Some(answer) = curl(&front, &["http://localhost/small"]) else {
            return;
        };
        assert_eq!(answer, ["x".repeat(64), "200".to_owned()]);
    }
    // The connections that the proxy keeps are idle, and hold up no drain.
    let report = daemon.stop();
    assert!(report.contains("aborted 0"), "{report}");
    let gone = curl(&front, &["http://localhost/small"]).unwrap();
    assert!(
        ["502", "503"].contains(&&gone.last().unwrap()[..]),
        "{gone:?}"
    );
    proxy.signal(Signal::TERM);
    proxy.ended();
}

fn wait_for(socket: &str) {
    let connector = sockeye::Connector::new().wait_for(std::time::Duration::from_secs(60));
    let address = socket.parse().unwrap();
    drop(connector.connect_blocking(&address).unwrap());
}
