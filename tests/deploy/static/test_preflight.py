"""Holds the preflight to the importer: a check of other settings would prove nothing."""

from tests.deploy.static.manifests import Manifest, render


def both() -> tuple[Manifest, Manifest]:
    """Return the containers of the importer and of its check, out of one overlay."""
    rendered = render("preflight")
    (job,) = rendered.all("Job")
    (check,) = job["spec"]["template"]["spec"]["containers"]
    return rendered.container, check


def test_it_checks_what_the_importer_runs_with() -> None:
    """Image, settings, Secret and memory limit are the same."""
    importer, check = both()
    for same in ("image", "envFrom", "env", "volumeMounts", "securityContext"):
        assert importer[same] == check[same], same
    assert importer["resources"]["limits"] == check["resources"]["limits"]
    assert ["check"] == check["args"]


def test_it_is_tried_once_and_ends() -> None:
    """A failed check is a person's affair; a hanging one is ended."""
    (job,) = render("preflight").all("Job")
    assert 0 == job["spec"]["backoffLimit"]
    assert 60 < job["spec"]["activeDeadlineSeconds"]
    assert "Never" == job["spec"]["template"]["spec"]["restartPolicy"]
