import importlib

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self) -> None:
        importlib.import_module("shop.hooks")
