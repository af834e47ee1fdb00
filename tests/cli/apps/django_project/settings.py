import os

SECRET_KEY = "only-for-tests"
INSTALLED_APPS = ["tk_analytics_mw.django", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TK_ANALYTICS = {"STORAGE": os.environ["STORAGE"]}
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["localhost"]
MIDDLEWARE = ["tk_analytics_mw.django.AnalyticsMiddleware"]
