"""``manage.py tk_analytics …``: the commands of ``tk-analytics``, for this project's settings."""

from __future__ import annotations

import sys
from typing import Any

import click
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.wsgi import get_wsgi_application

from tk_analytics_mw.cli.main import main
from tk_analytics_mw.cli.target import Target
from tk_analytics_mw.django.configured import parts


class Command(BaseCommand):
    """Hands its arguments on."""

    help = "Look after the analytics of this project: manage.py tk_analytics --help"
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Run from the command line. The options are click's, ``--help`` included."""
        main.main(argv[2:], prog_name=f"{argv[0]} {argv[1]}", obj=Target(parts, get_wsgi_application))

    def add_arguments(self, parser: CommandParser) -> None:
        """Take everything, for ``call_command``."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *_: Any, arguments: list[str], **__: Any) -> None:
        """Run from ``call_command("tk_analytics", "deliver", "--once")``."""
        try:
            main.main(
                arguments, prog_name="tk_analytics", obj=Target(parts, get_wsgi_application), standalone_mode=False
            )
        except click.ClickException as error:
            raise CommandError(error.format_message()) from error
        finally:
            sys.stdout.flush()
