"""The URLs of the shop's page, its orders and pictures, and the admin."""

from django.contrib import admin
from django.urls import path

from shop import views

urlpatterns = [
    path("", views.index, name="index"),
    path("order/<int:pk>/", views.order, name="order"),
    path("picture/<int:pk>.png", views.picture, name="picture"),
    path("admin/", admin.site.urls),
]
