"""The shop's page, with its products and the state of its orders."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from shop import orders
from shop.models import Order, Product, Rate, Report

LATEST = 12


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show the products, the latest orders, the rates and the reports."""
    context = {
        "products": Product.objects.defer("picture").order_by("pk"),
        "orders": Order.objects.select_related("product")
        .defer("product__picture", "product__thumbnail")
        .order_by("-created")[:LATEST],
        "rates": Rate.objects.order_by("currency"),
        "reports": Report.objects.order_by("-day")[:3],
    }
    return render(request, "shop/index.html", context)


@require_POST
def order(request: HttpRequest, pk: int) -> HttpResponse:
    """Place an order for one product."""
    product = get_object_or_404(Product, pk=pk)
    email = request.POST.get("email") or "you@example.com"
    placed = orders.place(product, email)
    messages.success(request, f"{placed} is placed. A worker charges and ships it.")
    return HttpResponseRedirect(reverse("index"))


@require_GET
def picture(request: HttpRequest, pk: int) -> HttpResponse:
    """Return a product's thumbnail, if a worker has made it."""
    product = get_object_or_404(Product.objects.defer("picture"), pk=pk)
    if not product.thumbnail:
        raise Http404("no worker has made this picture yet")
    return HttpResponse(bytes(product.thumbnail), content_type="image/png")
