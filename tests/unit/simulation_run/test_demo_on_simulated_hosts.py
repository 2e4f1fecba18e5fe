"""The demo on simulated hosts shows what it is to show, and says that its hosts are simulated."""

from reconciler.cli.demo import main


def test_every_step_of_the_demo_does_what_it_says(capsys):
    assert main([]) == 0

    out = capsys.readouterr().out
    assert "SIMULATED" in out
    assert "none of the guests restarted" in out
    assert "nothing to do" in out
