"""One small application a framework, all with the same door, so that one suite can go through each."""

from __future__ import annotations

from tests.hosts.asgi_faces import AsgiAsyncio, AsgiTrio
from tests.hosts.base import Host
from tests.hosts.django_faces import DjangoAsgi, DjangoUrls, DjangoWsgi
from tests.hosts.flask_faces import FlaskClient, FlaskWebTest
from tests.hosts.starlette_faces import FastapiInstall, FastapiRouter, StarletteInstall
from tests.hosts.wsgi_face import WsgiValidate

FACES: tuple[type[Host], ...] = (
    FlaskClient,
    FlaskWebTest,
    WsgiValidate,
    DjangoWsgi,
    DjangoAsgi,
    DjangoUrls,
    FastapiInstall,
    FastapiRouter,
    StarletteInstall,
    AsgiAsyncio,
    AsgiTrio,
)
