from django.db import models


class Confirmation(models.Model):
    text = models.TextField()
