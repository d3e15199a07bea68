"""Settings: every name with its default, every mistake at once, no secret shown."""

import re
from pathlib import Path
from typing import Any

import certifi
import pytest
import trustme

from service.settings import reference
from service.settings.environment import SettingsInvalid, injected, known_names, load
from service.settings.tree import Settings

WEBHOOK = "https://portal.example/rest/1/very-secret/"
MINIMUM = {"IMPORTER_BITRIX__WEBHOOK_URL": WEBHOOK}
DEFAULTS: dict[str, Any] = {
    "RABBIT__CA_FILE": None,
    "RABBIT__CERT_FILE": None,
    "RABBIT__KEY_FILE": None,
    "RABBIT__HEARTBEAT_SECONDS": 15,
    "RABBIT__MANAGEMENT_URL": None,
    "RABBIT__INTAKE_EXCHANGE": "crm.items",
    "RABBIT__INTAKE_QUEUE": "crm.items.import",
    "RABBIT__DELIVERY_LIMIT": 1000,
    "RABBIT__RESULTS_EXCHANGE": "crm.items.results",
    "RABBIT__SUCCEEDED_QUEUE": "crm.items.succeeded",
    "RABBIT__FAILED_QUEUE": "crm.items.failed",
    "RABBIT__DEAD_LETTER_EXCHANGE": "crm.items.dlx",
    "RABBIT__DEAD_LETTER_QUEUE": "crm.items.dlq",
    "RABBIT__TOPOLOGY": "declare",
    "RABBIT__HOLD_SECONDS": 600,
    "RABBIT__MAX_MESSAGE_BYTES": 2_000_000,
    "BITRIX__CLIENT_ENDPOINT": None,
    "BITRIX__CLIENT_ID": None,
    "BITRIX__CLIENT_SECRET": None,
    "BITRIX__OAUTH_URL": "https://oauth.bitrix24.tech/oauth/token/",
    "BITRIX__TOKEN_FILE": None,
    "BITRIX__REFRESH_TOKEN": None,
    "BITRIX__CA_FILE": None,
    "BITRIX__PROXY_URL": None,
    "BITRIX__ALLOW_HTTP": False,
    "BITRIX__TIMEOUT_SECONDS": 70,
    "BITRIX__SETTLE_SECONDS": 65,
    "BITRIX__REQUESTS_PER_SECOND": 2,
    "BITRIX__BURST": 50,
    "BITRIX__OPERATING_LIMIT_SECONDS": 420,
    "BITRIX__ORIGINATOR": "crm-importer",
    "BITRIX__EXTERNAL_ID_FIELDS": {},
    "BATCH__MAX_ITEMS": 20,
    "BATCH__WINDOW_SECONDS": 2,
    "BATCH__MAX_BYTES": 16_000_000,
    "BATCH__SLOTS": 2,
    "BATCH__PREFETCH": None,
    "RETRY__BASE_SECONDS": 1,
    "RETRY__CAP_SECONDS": 60,
    "RETRY__MAX_ATTEMPTS": 5,
    "PAUSE__AFTER_SECONDS": 60,
    "PAUSE__PROBE_SECONDS": 15,
    "PAUSE__PROBE_CAP_SECONDS": 300,
    "BRAKE__SHARE": 0.5,
    "BRAKE__ITEMS": 200,
    "CONSOLE__HOST": "127.0.0.1",
    "CONSOLE__PORT": 8081,
    "CONSOLE__PASSWORD": None,
    "CONSOLE__STATUS_URL": None,
    "AMBIGUOUS": "dead_letter",
    "LOOKUP": "doubtful",
    "CLAIMS__REMEMBER": 50_000,
    "SHUTDOWN__DEADLINE_SECONDS": 90,
    "HTTP__HOST": "0.0.0.0",  # noqa: S104 - the default of the contract
    "HTTP__PORT": 8080,
    "LOG__LEVEL": "INFO",
    "LOG__FORMAT": "json",
}


def mistakes(**named: str) -> list[str]:
    """Return what is wrong with an environment, names without their prefix."""
    with pytest.raises(SettingsInvalid) as caught:
        load(MINIMUM | {f"IMPORTER_{name}": value for name, value in named.items()})
    return caught.value.mistakes


def settings(**named: str) -> Settings:
    """Return the settings of an environment, names without their prefix."""
    return load(MINIMUM | {f"IMPORTER_{name}": value for name, value in named.items()})


def value_of(tree: Settings, name: str) -> Any:  # noqa: ANN401 - of any setting
    """Return the value of a setting by its name without the prefix."""
    found: Any = tree
    for part in known_names()[f"IMPORTER_{name}"]:
        found = getattr(found, part)
    return found


def test_settings_have_the_defaults_of_the_contract() -> None:
    """Start from the documented values."""
    tree = settings()
    assert DEFAULTS == {name: value_of(tree, name) for name in DEFAULTS}


def test_addresses_have_the_defaults_of_the_contract() -> None:
    """Expect a local broker and no portal."""
    tree = load({}, portal=False)
    assert "amqp://guest:guest@127.0.0.1:5672/" == tree.rabbit.url.get_secret_value()
    assert None is tree.bitrix.webhook_url


def test_every_setting_has_a_meaning() -> None:
    """Leave none for the reader to guess."""
    for path in known_names().values():
        model: Any = Settings
        for part in path[:-1]:
            model = model.model_fields[part].annotation
        assert model.model_fields[path[-1]].description, path


def test_prefetch_follows_from_items_and_slots() -> None:
    """Compute it where it is not given."""
    assert 200 == settings().prefetch
    assert 5 * (3 + 8) == settings(BATCH__MAX_ITEMS="5", BATCH__SLOTS="3").prefetch
    assert 77 == settings(BATCH__PREFETCH="77").prefetch


def test_the_status_is_asked_of_the_own_port_unless_told_otherwise() -> None:
    """Whoever moves the port of /status moves the console with it."""
    assert "http://127.0.0.1:9090/status" == settings(HTTP__PORT="9090").status_url
    elsewhere = "https://importer.example:8443/status"
    assert elsewhere == settings(CONSOLE__STATUS_URL=elsewhere).status_url


def test_values_come_from_the_environment() -> None:
    """Read numbers, choices, booleans, JSON and lists of addresses."""
    tree = settings(
        BATCH__WINDOW_SECONDS="0.5",
        LOOKUP="always",
        BITRIX__ALLOW_HTTP="true",
        BITRIX__EXTERNAL_ID_FIELDS='{"7":"ufCrm_123"}',
        RABBIT__URL="amqp://a:b@one/,amqp://a:b@two/",
    )
    assert (0.5, "always", True) == (
        tree.batch.window_seconds,
        tree.lookup,
        tree.bitrix.allow_http,
    )
    assert {7: "ufCrm_123"} == tree.bitrix.external_id_fields


def test_any_setting_may_be_a_file(tmp_path: Path) -> None:
    """Read mounted secrets and plain values; white space around them is cut."""
    secret, items = tmp_path / "url", tmp_path / "items"
    secret.write_text(WEBHOOK + "\n")
    items.write_text(" 7\n")
    tree = load(
        {
            "IMPORTER_BITRIX__WEBHOOK_URL_FILE": str(secret),
            "IMPORTER_BATCH__MAX_ITEMS_FILE": str(items),
        }
    )
    assert tree.bitrix.webhook_url is not None
    assert (WEBHOOK, 7) == (tree.bitrix.webhook_url.get_secret_value(), tree.batch.max_items)


def test_white_space_around_a_value_is_cut(tmp_path: Path) -> None:
    """As in a file: whoever pastes a secret with a newline means the secret."""
    (tmp_path / "items").write_text("7")
    tree = load(
        {
            "IMPORTER_BITRIX__WEBHOOK_URL": f" {WEBHOOK}\r\n",
            "IMPORTER_RABBIT__URL": "amqp://u:p@broker/\n",
            "IMPORTER_BATCH__MAX_ITEMS_FILE": f"{tmp_path / 'items'}\n",
            "IMPORTER_LOOKUP": "always\t",
        }
    )
    assert tree.bitrix.webhook_url is not None
    assert (WEBHOOK, "amqp://u:p@broker/", 7, "always") == (
        tree.bitrix.webhook_url.get_secret_value(),
        tree.rabbit.url.get_secret_value(),
        tree.batch.max_items,
        tree.lookup,
    )


def test_value_and_file_together_are_a_mistake(tmp_path: Path) -> None:
    """Ask which one is meant."""
    (tmp_path / "a").write_text("5")
    (line,) = mistakes(BATCH__MAX_ITEMS="5", BATCH__MAX_ITEMS_FILE=str(tmp_path / "a"))
    assert "IMPORTER_BATCH__MAX_ITEMS" in line
    assert "IMPORTER_BATCH__MAX_ITEMS_FILE" in line


def test_unreadable_file_is_named_by_its_setting(tmp_path: Path) -> None:
    """Say which setting and why; show no content."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    missing = str(tmp_path / "missing")
    lines = mistakes(BATCH__SLOTS_FILE=missing, BATCH__MAX_ITEMS_FILE=str(tmp_path / "binary"))
    assert 2 == len(lines)
    assert any(line.startswith("IMPORTER_BATCH__SLOTS_FILE") for line in lines)


def test_missing_webhook_is_reported_once(tmp_path: Path) -> None:
    """Say it is missing only where nothing was said about it."""
    with pytest.raises(SettingsInvalid) as caught:
        load({})
    assert 1 == len(caught.value.mistakes)
    with pytest.raises(SettingsInvalid) as caught:
        load({"IMPORTER_BITRIX__WEBHOOK_URL_FILE": str(tmp_path / "missing")})
    assert 1 == len(caught.value.mistakes)
    load({}, portal=False)


def test_all_mistakes_are_named_at_once() -> None:
    """Spare the operator one restart per mistake."""
    lines = mistakes(
        BATCH__MAX_ITEMS="21",
        BATCH__SLOTS="many",
        LOOKUP="sometimes",
        RABBIT__URL="http://broker/",
        TYPO="1",
        RETRY__BASE_SECONDS="100",
        LOG__LEVEL="",
    )
    named = sorted(re.findall(r"^IMPORTER_\w+", "\n".join(lines), flags=re.MULTILINE))
    assert [
        "IMPORTER_BATCH__MAX_ITEMS",
        "IMPORTER_BATCH__SLOTS",
        "IMPORTER_LOG__LEVEL",
        "IMPORTER_LOOKUP",
        "IMPORTER_RABBIT__URL",
        "IMPORTER_RETRY__BASE_SECONDS",
        "IMPORTER_TYPO",
    ] == named
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RABBIT__DELIVERY_LIMIT", "-1"),
        ("RABBIT__DELIVERY_LIMIT", "99"),
        ("BATCH__MAX_ITEMS", "0"),
        ("BATCH__MAX_ITEMS", "21"),
        ("BATCH__WINDOW_SECONDS", "-1"),
        ("BITRIX__SETTLE_SECONDS", "-1"),
        ("RETRY__BASE_SECONDS", "0"),
        ("CLAIMS__REMEMBER", "0"),
        ("BRAKE__SHARE", "-0.1"),
        ("BRAKE__SHARE", "1.1"),
        ("BATCH__WINDOW_SECONDS", "nan"),
        ("BATCH__WINDOW_SECONDS", "inf"),
        ("RABBIT__TOPOLOGY", "create"),
        ("RABBIT__URL", "amqp://"),
        ("RABBIT__URL", "amqp://a/,amqps://b/"),
        ("RABBIT__URL", "amqp://a/,http://b/"),
        ("RABBIT__URL", "amqp://a/,"),
        ("RABBIT__URL", "amqp://a/one,amqp://b/two"),
        ("RABBIT__URL", "amqp://a,amqp://b/one"),
        ("RABBIT__INTAKE_QUEUE", "ж" * 128),
        ("RABBIT__RESULTS_EXCHANGE", "x" * 256),
        ("RABBIT__URL", "amqp://u:p@.svc/"),
        ("RABBIT__URL", f"amqp://u:p@{'a' * 64}.svc/"),
        ("RABBIT__URL", "amqp://u:p@xn--/"),
        ("RABBIT__URL", "amqp://u:p@192.168.1.256/"),
        ("RABBIT__URL", "amqp://u:p@bro ker/"),
        ("RABBIT__URL", "amqp://u:p@bro\nker/"),
        ("RABBIT__URL", "amqp://u:p@[::1/"),
        ("RABBIT__URL", "amqp://u:p@broker:0/"),
        ("RABBIT__MANAGEMENT_URL", "http://[::1/"),
        ("RABBIT__MANAGEMENT_URL", "http://u:p@broker:abc/"),
        ("RABBIT__MANAGEMENT_URL", "http://приём..рф/"),
        ("RABBIT__MANAGEMENT_URL", "http://u:p@broker:15672/a b/"),
        ("RABBIT__MANAGEMENT_URL", "http://u:p@broker:15672/приём/"),
        ("RABBIT__MANAGEMENT_URL", "http://u:p@broker:15672/?a=b"),
        ("RABBIT__MANAGEMENT_URL", "amqp://u:p@broker/"),
        ("RABBIT__MANAGEMENT_URL", "broker:15672"),
        ("TRACING__ENDPOINT", "http://[::1/v1/traces"),
        ("TRACING__ENDPOINT", "http://user@collector:4318/v1/traces"),
        ("CONSOLE__STATUS_URL", "importer:8080"),
        ("CONSOLE__STATUS_URL", "http://user:password@importer:8080/status"),
        ("CONSOLE__STATUS_URL", "http://importer:8080/status?a=b"),
        ("CONSOLE__HOST", "0.0.0.0:8081"),
        ("CONSOLE__PORT", "65536"),
        ("RABBIT__CA_FILE", "/no/such/file"),
        ("RABBIT__CA_FILE", __file__),
        ("BITRIX__CA_FILE", "/no/such/file"),
        ("BITRIX__CA_FILE", __file__),
        ("BITRIX__PROXY_URL", "proxy:3128"),
        ("BITRIX__WEBHOOK_URL", "https://portal.example/rest/1/two words/"),
        ("BITRIX__WEBHOOK_URL", '"https://portal.example/rest/1/quoted/"'),
        ("BITRIX__PROXY_URL", "socks5://proxy:1080"),
        ("BITRIX__PROXY_URL", "http://proxy:3128/path"),
        ("BITRIX__ORIGINATOR", "shop\tone"),
        ("BITRIX__ORIGINATOR", "shop-😀"),
        ("BITRIX__EXTERNAL_ID_FIELDS", "{"),
        ("BITRIX__EXTERNAL_ID_FIELDS", '{"0":"ufCrm_1"}'),
        ("BITRIX__EXTERNAL_ID_FIELDS", '{"7":"UF CRM"}'),
        ("BITRIX__EXTERNAL_ID_FIELDS", '{"7":"UF_CRM_123"}'),
        ("BITRIX__WEBHOOK_URL", "https://portal.example/"),
        ("BITRIX__WEBHOOK_URL", "https://portal.example/rest/1/secret/crm.item.list"),
        ("BITRIX__WEBHOOK_URL", "ftp://portal.example/rest/1/secret/"),
        ("BITRIX__WEBHOOK_URL", "https://por\ntal.example/rest/1/secret/"),
        ("BITRIX__WEBHOOK_URL", "https://user@portal.example/rest/1/secret/"),
        ("BITRIX__WEBHOOK_URL", "https://портал..рф/rest/1/secret/"),
        ("BITRIX__WEBHOOK_URL", "https://.example/rest/1/secret/"),
        ("AMBIGUOUS", "guess"),
        ("HTTP__PORT", "65536"),
        ("LOG__FORMAT", "xml"),
        ("LOG__LEVEL", "TRACE"),
    ],
)
def test_bad_value_is_one_line_under_its_name(name: str, value: str) -> None:
    """Name the setting; say nothing else is wrong."""
    (line,) = mistakes(**{name: value})
    assert line.startswith(f"IMPORTER_{name} ")


@pytest.mark.parametrize(
    "named",
    [
        {"SHUTDOWN__DEADLINE_SECONDS": "69"},
        {"BATCH__WINDOW_SECONDS": "465"},
        {"RABBIT__HOLD_SECONDS": "137"},
        {"RETRY__BASE_SECONDS": "61"},
        {"PAUSE__PROBE_SECONDS": "301"},
        {"RABBIT__MAX_MESSAGE_BYTES": "16000001"},
        {"BATCH__PREFETCH": "59"},
        {"CLAIMS__REMEMBER": "200001"},
        {"BITRIX__WEBHOOK_URL": "http://portal.example/rest/1/secret/"},
    ],
)
def test_broken_rule_is_one_line(named: dict[str, str]) -> None:
    """Hold values that are fine alone against each other, and say both of them."""
    (line,) = mistakes(**named)
    assert "secret" not in line
    if "RETRY__BASE_SECONDS" in named:
        assert line == (
            "IMPORTER_RETRY__BASE_SECONDS (61) must not exceed IMPORTER_RETRY__CAP_SECONDS (60)"
        )


@pytest.mark.parametrize(
    "named",
    [
        {"SHUTDOWN__DEADLINE_SECONDS": "70"},
        {"BATCH__WINDOW_SECONDS": "464"},
        {"RETRY__BASE_SECONDS": "60"},
        {"PAUSE__PROBE_SECONDS": "300"},
        {"RABBIT__MAX_MESSAGE_BYTES": "16000000"},
        {"BATCH__PREFETCH": "60"},
        {"CLAIMS__REMEMBER": "200000"},
        {"BITRIX__WEBHOOK_URL": "http://127.0.0.1:8000/rest/1/secret/"},
        {"BITRIX__WEBHOOK_URL": "http://[::1]:8000/rest/1/secret/"},
        {"BITRIX__WEBHOOK_URL": "http://localhost/rest/1/secret/"},
        {"BITRIX__WEBHOOK_URL": "https://портал.рф/rest/1/secret/"},
        {"BITRIX__WEBHOOK_URL": "https://xn--80aswg.xn--p1ai/rest/1/secret"},
        {"RABBIT__URL": "amqp://u:p%40ss@rabbit-0.my_ns.svc.:5672/v%2Fh, amqp://[::1]:5672/v%2fh"},
        {"RABBIT__URL": "amqp://a,amqp://b/,amqp://c/%2F"},
        {"RABBIT__INTAKE_QUEUE": "ж" * 127},
        {"RABBIT__SUCCEEDED_QUEUE": "results", "RABBIT__FAILED_QUEUE": "results"},
        {"RABBIT__TOPOLOGY": "check", "RABBIT__RESULTS_EXCHANGE": "crm.items"},
        {"RABBIT__MEMORY_QUEUE": "", "RABBIT__PARKED_QUEUE": ""},
        {"RABBIT__URL": "amqps://u:pässwort@[fe80::1%25eth0]/"},
        {"RABBIT__MANAGEMENT_URL": "https://u:p%2F@broker.example/rabbit/"},
        {"RABBIT__MANAGEMENT_URL": "http://127.0.0.1:15672"},
        {"BITRIX__PROXY_URL": "http://user:p%2Fw@proxy.example:3128"},
        {"BITRIX__PROXY_URL": "https://proxy.example:3129/"},
        {"TRACING__ENDPOINT": "http://collector:4318/v1/traces"},
        {"BATCH__WINDOW_SECONDS": "0", "BITRIX__SETTLE_SECONDS": "0"},
        {"BRAKE__SHARE": "0", "BRAKE__ITEMS": "0"},
        {
            "BITRIX__WEBHOOK_URL": "http://portal.example/rest/1/secret/",
            "BITRIX__ALLOW_HTTP": "true",
        },
    ],
)
def test_rule_holds_at_its_border(named: dict[str, str]) -> None:
    """Refuse nothing that the rule allows."""
    settings(**named)


def test_certificate_needs_its_key(tmp_path: Path) -> None:
    """Report half a pair."""
    (tmp_path / "cert").write_text("x")
    url = "amqps://broker.example/"
    (line,) = mistakes(RABBIT__URL=url, RABBIT__CERT_FILE=str(tmp_path / "cert"))
    assert "IMPORTER_RABBIT__KEY_FILE" in line


def test_a_certificate_and_its_key_must_be_that(tmp_path: Path) -> None:
    """Found at the start, under the names of both, not at the first dial."""
    issued = trustme.CA().issue_cert("client.example")
    cert, key, other = (tmp_path / name for name in ("cert", "key", "other"))
    cert.write_bytes(issued.cert_chain_pems[0].bytes())
    key.write_bytes(issued.private_key_pem.bytes())
    other.write_text("x")
    url = "AMQPS://broker.example/"
    named = {"RABBIT__CERT_FILE": str(cert), "RABBIT__CA_FILE": str(cert)}
    settings(RABBIT__URL=url, RABBIT__KEY_FILE=str(key), **named)
    (line,) = mistakes(RABBIT__URL=url, RABBIT__KEY_FILE=str(other), **named)
    assert {"IMPORTER_RABBIT__CERT_FILE", "IMPORTER_RABBIT__KEY_FILE"} <= {*line.split()}


@pytest.mark.parametrize("name", ["RABBIT__CA_FILE", "RABBIT__CERT_FILE", "BITRIX__CA_FILE"])
def test_a_path_that_nobody_can_look_at_is_a_mistake(name: str) -> None:
    """Such as the content of the file where its name belongs."""
    (line, *_) = mistakes(RABBIT__URL="amqps://broker.example/", **{name: "MII" * 200})
    assert line.startswith(f"IMPORTER_{name} is wrong: names a file that cannot be looked at")


def test_one_mistake_is_not_followed_by_rules_about_its_default() -> None:
    """Who mends it would look for a second one."""
    (line,) = mistakes(RABBIT__URL_FILE="/nonexist", RABBIT__CA_FILE=certifi.where())
    assert line.startswith("IMPORTER_RABBIT__URL_FILE")
    (line,) = mistakes(SHUTDOWN__DEADLINE_SECONDS="", BITRIX__TIMEOUT_SECONDS="100")
    assert line.startswith("IMPORTER_SHUTDOWN__DEADLINE_SECONDS is empty")


def test_certificates_without_tls_are_a_mistake(tmp_path: Path) -> None:
    """Whoever gives them expects to be protected; each is named."""
    (tmp_path / "cert").write_text("x")
    file = str(tmp_path / "cert")
    lines = mistakes(RABBIT__CERT_FILE=file, RABBIT__KEY_FILE=file)
    assert ["CERT_FILE", "KEY_FILE"] == [line.split()[0].split("__")[1] for line in lines]
    assert all("amqps://" in line for line in lines)


def service_links(service: str, port: int, protocol: str = "tcp", **named: int) -> dict[str, str]:
    """Return what Kubernetes injects for a Service; `named`: its ports that have a name."""
    link = f"{service}_PORT_{port}_{protocol}".upper()
    return {
        f"{service}_SERVICE_HOST": "10.0.0.1",
        f"{service}_SERVICE_PORT": str(port),
        **{f"{service}_SERVICE_PORT_{name}": str(number) for name, number in named.items()},
        f"{service}_PORT": f"{protocol}://10.0.0.1:{port}",
        link: f"{protocol}://10.0.0.1:{port}",
        f"{link}_PROTO": protocol,
        f"{link}_PORT": str(port),
        f"{link}_ADDR": "10.0.0.1",
    }


@pytest.mark.parametrize(
    "names",
    [
        service_links("IMPORTER", 8080),
        service_links("IMPORTER", 8080, HTTP=8080),
        service_links("IMPORTER", 8080, HTTP_METRICS=8080, PORT=9090),
        service_links("IMPORTER_METRICS", 8080, METRICS=8080),
        service_links("IMPORTER", 53, "udp"),
        service_links("IMPORTER", 9999, "sctp"),
    ],
)
def test_names_injected_by_kubernetes_are_ignored(names: dict[str, str]) -> None:
    """Start beside a Service of our own name, with all its values; tell what was ignored."""
    environ = MINIMUM | names
    load(environ)
    assert sorted(names) == injected(environ)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PORT", "8080"),
        ("HTTP_PORT", "80 80"),
        ("PORT", "8080"),
        ("HTTP__PORT_8080", "8080"),
        ("PORT_8080_TCP_PORTS", "8080"),
    ],
)
def test_misspelt_port_is_named_as_a_mistake(name: str, value: str) -> None:
    """Nothing that a person would write passes for an injected name."""
    (line,) = mistakes(**{name: value})
    assert line.startswith(f"IMPORTER_{name} is not a setting")


def test_own_port_is_never_taken_for_an_injected_name() -> None:
    """Read `HTTP__PORT` although it ends like one of them."""
    environ = MINIMUM | {"IMPORTER_HTTP__PORT": "9090"}
    assert (9090, []) == (load(environ).http.port, injected(environ))


@pytest.mark.parametrize("name", ["CLIENT_SECRET", "REFRESH_TOKEN", "OAUTH_URL", "TOKEN_FILE"])
def test_a_name_of_ours_without_the_prefix_is_another_programs(name: str) -> None:
    """Beside a webhook it is no second way to the portal."""
    assert load({**MINIMUM, name: "x"}) == load(MINIMUM)


def test_a_webhook_without_the_prefix_is_none() -> None:
    """What is missing is said at the start, not at the first call."""
    with pytest.raises(SettingsInvalid) as caught:
        load({"WEBHOOK_URL": "https://portal.example/rest/1/secret/"})
    assert caught.value.mistakes[0].startswith("IMPORTER_BITRIX__WEBHOOK_URL is missing")


def test_other_programs_names_are_ignored() -> None:
    """Look only at our prefix."""
    load(MINIMUM | {"PATH": "/bin", "IMPORTERX": "1", "OTHER_IMPORTER_X": "1"})


def test_secrets_are_masked_in_the_tree() -> None:
    """Show no password, whoever prints the settings."""
    tree = settings(
        RABBIT__URL="amqp://user:rabbit-secret@broker/",
        RABBIT__MANAGEMENT_URL="http://user:other-secret@broker:15672/",
    )
    for text in (repr(tree), str(tree), str(tree.model_dump()), tree.model_dump_json()):
        assert [] == [word for word in ("rabbit-", "other-", "very-") if word in text]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BITRIX__WEBHOOK_URL", "https://portal.example/rest/secret-1/"),
        ("RABBIT__URL", "amqp:/user:secret-1@broker"),
        ("BATCH__SLOTS", "secret-1"),
        ("BITRIX__EXTERNAL_ID_FIELDS", '{"7":"secret-1'),
        ("LOG__LEVEL", "secret-1"),
        ("RABBIT__CA_FILE", "/secret-1"),
    ],
)
def test_value_is_never_part_of_a_mistake(name: str, value: str) -> None:
    """Show no value: it may be a secret in the wrong place."""
    with pytest.raises(SettingsInvalid) as caught:
        load(MINIMUM | {f"IMPORTER_{name}": value})
    assert "secret-1" not in str(caught.value)
    assert "secret-1" not in repr(caught.value)


def test_settings_cannot_be_changed() -> None:
    """Freeze the tree: what was checked stays so."""
    tree = settings()
    with pytest.raises(ValueError, match="frozen"):
        tree.batch.slots = 5  # type: ignore[misc]  # that is the point


APPLICATION = {
    "BITRIX__CLIENT_ENDPOINT": "https://portal.example/rest/",
    "BITRIX__CLIENT_ID": "app.1",
    "BITRIX__CLIENT_SECRET": "client-secret",
    "BITRIX__TOKEN_FILE": "/var/lib/importer/tokens.json",
}


def application(**named: str) -> Settings:
    """Return the settings of an OAuth application; an empty text takes a setting away."""
    given = {**APPLICATION, **named}
    return load({f"IMPORTER_{name}": text for name, text in given.items() if text})


def application_mistakes(**named: str) -> list[str]:
    """Return what is wrong with the settings of an OAuth application."""
    with pytest.raises(SettingsInvalid) as caught:
        application(**named)
    return caught.value.mistakes


def test_an_application_needs_no_webhook() -> None:
    """The first refresh token may be missing too: the file has one."""
    bitrix = application().bitrix
    assert ("app.1", Path("/var/lib/importer/tokens.json")) == (
        bitrix.client_id,
        bitrix.token_file,
    )
    assert None is bitrix.webhook_url


@pytest.mark.parametrize("name", APPLICATION)
def test_a_part_of_an_application_is_missing_by_name(name: str) -> None:
    """One line, and nothing about a webhook."""
    (line,) = application_mistakes(**{name: ""})
    assert line.startswith(f"IMPORTER_{name} is missing: an OAuth application needs ")


@pytest.mark.parametrize("name", ["BITRIX__REFRESH_TOKEN", "BITRIX__OAUTH_URL"])
def test_every_missing_part_is_named_at_once(name: str) -> None:
    """However little of the application is given."""
    with pytest.raises(SettingsInvalid) as caught:
        load({f"IMPORTER_{name}": "https://oauth.example/token"})
    assert sorted(APPLICATION) == sorted(
        line.removeprefix("IMPORTER_").split()[0] for line in caught.value.mistakes
    )


def test_webhook_and_application_are_one_mistake() -> None:
    """Ask which one is meant; name what to remove."""
    (line,) = mistakes(BITRIX__CLIENT_ID="app.1", BITRIX__TOKEN_FILE="tokens.json")
    for name in ("WEBHOOK_URL", "CLIENT_ID", "TOKEN_FILE"):
        assert f"IMPORTER_BITRIX__{name}" in line


def test_a_command_that_needs_no_portal_asks_for_none() -> None:
    """Half an application is no mistake of theirs."""
    load({"IMPORTER_BITRIX__CLIENT_ID": "app.1"}, portal=False)


def test_a_setting_that_ends_in_file_is_itself(tmp_path: Path) -> None:
    """`TOKEN_FILE` is no file for a setting `TOKEN`; it may stand in a file of its own."""
    (tmp_path / "path").write_text("/elsewhere/tokens.json\n")
    (tmp_path / "secret").write_text("mounted\n")
    bitrix = application(
        BITRIX__TOKEN_FILE="",
        BITRIX__TOKEN_FILE_FILE=str(tmp_path / "path"),
        BITRIX__CLIENT_SECRET="",
        BITRIX__CLIENT_SECRET_FILE=str(tmp_path / "secret"),
    ).bitrix
    assert Path("/elsewhere/tokens.json") == bitrix.token_file
    assert bitrix.client_secret is not None
    assert "mounted" == bitrix.client_secret.get_secret_value()
    missing = "/no/such/folder/tokens.json"
    assert Path(missing) == application(BITRIX__TOKEN_FILE=missing).bitrix.token_file
    (line,) = mistakes(BITRIX__TOKEN=missing)
    assert line.startswith("IMPORTER_BITRIX__TOKEN is not a setting")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BITRIX__CLIENT_ENDPOINT", "http://portal.example/rest/"),
        ("BITRIX__OAUTH_URL", "http://oauth.example/oauth/token/"),
    ],
)
def test_no_token_goes_in_the_clear(name: str, value: str) -> None:
    """Unless it is wanted, or nobody else can listen."""
    (line,) = application_mistakes(**{name: value})
    assert f"IMPORTER_{name} must be https (or set IMPORTER_BITRIX__ALLOW_HTTP=true)" == line
    application(**{name: value, "BITRIX__ALLOW_HTTP": "true"})
    application(**{name: re.sub(r"//[a-z.]+", "//127.0.0.1:8000", value)})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CLIENT_ENDPOINT", "https://portal.example/", "https://portal/rest/"),
        ("CLIENT_ENDPOINT", "https://portal.example/rest/1/secret/", "https://portal/rest/"),
        ("CLIENT_ENDPOINT", "https://portal.example/rest/?auth=x", "https://portal/rest/"),
        ("CLIENT_ENDPOINT", "https://me:pass@portal.example/rest/", "https://portal/rest/"),
        ("CLIENT_ENDPOINT", "portal.example", "https://portal/rest/"),
        ("OAUTH_URL", "https://oauth.example", "https://host/oauth/token/"),
        ("OAUTH_URL", "oauth.example/token", "https://host/oauth/token/"),
    ],
)
def test_a_bad_address_is_one_line(name: str, value: str, says: str) -> None:
    """A webhook's address is no endpoint; nothing of it is shown."""
    (line,) = application_mistakes(**{f"BITRIX__{name}": value})
    assert line.startswith(f"IMPORTER_BITRIX__{name} is wrong: must be {says}")


def test_an_applications_secrets_are_masked_in_the_tree() -> None:
    """Show no secret, whoever prints the settings."""
    tree = application(BITRIX__REFRESH_TOKEN="first-token")
    for text in (repr(tree), str(tree), str(tree.model_dump()), tree.model_dump_json()):
        assert "client-secret" not in text
        assert "first-token" not in text


@pytest.mark.parametrize(
    ("given", "host"), [("[::1]", "::1"), ("::", "::"), ("[::]", "::"), ("127.0.0.1", "127.0.0.1")]
)
def test_an_ipv6_address_may_stand_in_brackets(given: str, host: str) -> None:
    """People copy it out of a URL."""
    assert host == load(MINIMUM | {"IMPORTER_HTTP__HOST": given}).http.host


@pytest.mark.parametrize(
    "wrong", ["[::1]:8080", "127.0.0.1:8080", "http://[::1]/", "::1]", "300.1.1.1", "a b", "*"]
)
def test_a_host_to_listen_on_that_cannot_be_one_is_named(wrong: str) -> None:
    """The port has a setting of its own."""
    [mistake] = mistakes(HTTP__HOST=wrong)
    assert "HTTP__HOST" in mistake
    assert "must be an address or a name without a port" in mistake


@pytest.mark.parametrize(
    ("given", "memory", "parked"),
    [
        ({}, "crm.items.memory", "crm.items.parked"),
        ({"INTAKE_QUEUE": "shop.in"}, "shop.memory", "shop.parked"),
        ({"INTAKE_QUEUE": "in"}, "memory", "parked"),
        ({"MEMORY_QUEUE": "", "PARKED_QUEUE": ""}, "", ""),
        ({"MEMORY_QUEUE": "m", "PARKED_QUEUE": "p"}, "m", "p"),
    ],
)
def test_queues_of_our_own_are_named_after_the_intake(
    given: dict[str, str], memory: str, parked: str
) -> None:
    """Unless somebody names them, or wants none."""
    environment = {f"IMPORTER_RABBIT__{name}": value for name, value in given.items()}
    rabbit = load({**MINIMUM, **environment}).rabbit
    assert (memory, parked) == (rabbit.memory_name, rabbit.parked_name)


def test_a_name_that_leaves_no_room_for_an_entity_type_is_a_mistake() -> None:
    """Given, or made of the intake's."""
    for given in ({"PARKED_QUEUE": "p" * 245}, {"INTAKE_QUEUE": f"{'q' * 240}.in"}):
        environment = {f"IMPORTER_RABBIT__{name}": value for name, value in given.items()}
        with pytest.raises(SettingsInvalid, match="PARKED_QUEUE"):
            load({**MINIMUM, **environment})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"INTAKE_QUEUE": "q", "DEAD_LETTER_QUEUE": "q"}, ["INTAKE_QUEUE", "DEAD_LETTER_QUEUE"]),
        ({"INTAKE_QUEUE": "a.memory"}, ["INTAKE_QUEUE", "MEMORY_QUEUE"]),
        ({"FAILED_QUEUE": "crm.items.dlq"}, ["DEAD_LETTER_QUEUE", "FAILED_QUEUE"]),
        ({"MEMORY_QUEUE": "crm.items.succeeded"}, ["MEMORY_QUEUE", "SUCCEEDED_QUEUE"]),
        ({"FAILED_QUEUE": "crm.items.parked.links"}, ["FAILED_QUEUE", "PARKED_QUEUE"]),
        ({"DEAD_LETTER_QUEUE": "p.7", "PARKED_QUEUE": "p"}, ["DEAD_LETTER_QUEUE", "PARKED_QUEUE"]),
        ({"RESULTS_EXCHANGE": "crm.items"}, ["INTAKE_EXCHANGE", "RESULTS_EXCHANGE"]),
        ({"DEAD_LETTER_EXCHANGE": "crm.items"}, ["INTAKE_EXCHANGE", "DEAD_LETTER_EXCHANGE"]),
        (
            {"RESULTS_EXCHANGE": "crm.items.dlx"},
            ["RESULTS_EXCHANGE", "DEAD_LETTER_EXCHANGE"],
        ),
    ],
)
def test_one_name_for_two_uses_is_a_mistake(given: dict[str, str], named: list[str]) -> None:
    """What leaves would come back as an event, for ever; both are named."""
    (line,) = mistakes(**{f"RABBIT__{name}": value for name, value in given.items()})
    assert [f"IMPORTER_RABBIT__{name}" for name in named] == re.findall(r"IMPORTER_\w+", line)


def test_a_memory_whose_name_would_be_too_long_is_a_mistake() -> None:
    """One that is made of the intake's; given or off it is none."""
    long = {"RABBIT__INTAKE_QUEUE": f"{'q' * 250}.in", "RABBIT__PARKED_QUEUE": "p"}
    (line,) = mistakes(**long)
    assert line.startswith("IMPORTER_RABBIT__MEMORY_QUEUE ")
    settings(**long, RABBIT__MEMORY_QUEUE="m")
    settings(**long, RABBIT__MEMORY_QUEUE="")


def test_a_default_that_follows_from_other_settings_is_shown() -> None:
    """A line of the environment file without a value would turn the memory off."""
    shown = {row.name.removeprefix("IMPORTER_"): row.default for row in reference.rows()}
    assert {
        "RABBIT__MEMORY_QUEUE": "crm.items.memory",
        "RABBIT__PARKED_QUEUE": "crm.items.parked",
        "BATCH__PREFETCH": "200",
        "CONSOLE__STATUS_URL": "http://127.0.0.1:8080/status",
    }.items() <= shown.items()
